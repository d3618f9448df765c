import { Button, Loader } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Refusal } from "../api/problem";
import { Note } from "./Note";

/** What there is to say where there is nothing to show. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      <div>{children}</div>
    </div>
  );
}

export function Loading() {
  return (
    <div className="loading" role="status">
      <Loader size="sm" /> Loading
    </div>
  );
}

/** An error in the server's own words, with its hint, and a way to try again. */
export function Failed({ error, again }: { readonly error: unknown; readonly again?: (() => void) | undefined }) {
  const known = error instanceof Refusal ? error : new Refusal(0, "The server cannot be reached.", "");
  return (
    <Note tone="bad" title={known.message} alert>
      {known.hint && <p>{known.hint}</p>}
      {again && (
        <Button size="xs" mt={6} variant="default" onClick={again}>
          Try again
        </Button>
      )}
    </Note>
  );
}

type Asked<T> = Pick<UseQueryResult<T>, "data" | "isError" | "error" | "refetch">;

/** Shows what was asked for, or that it is on its way, or why it cannot be had. What is old stays while it is asked anew. */
export function Loaded<T>({ query, children }: { readonly query: Asked<T>; readonly children: (data: T) => ReactNode }) {
  const again = () => void query.refetch();
  if (query.data === undefined) return query.isError ? <Failed error={query.error} again={again} /> : <Loading />;
  // That nobody answers is said once, at the top of the page.
  return (
    <>
      {query.error instanceof Refusal && <Failed error={query.error} again={again} />}
      {children(query.data)}
    </>
  );
}
