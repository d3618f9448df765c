import { type ReactNode, useEffect, useRef } from "react";

/** One page: its heading takes the focus when it is opened, so that screen readers begin there; the browser's title says it. */
export function Page({ title, aside, children }: { readonly title: string; readonly aside?: ReactNode; readonly children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · provisioning`;
    heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <>
      <div className="head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {aside}
      </div>
      {children}
    </>
  );
}
