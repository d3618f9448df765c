import { Alert, Button, Loader } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Refusal } from "../api/problem";

/** What there is to say where there is nothing to show. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      <div>{children}</div>
    </div>
  );
}

/** An error in the server's own words, with its hint, and a way to try again. */
export function Failed({ error, again }: { readonly error: unknown; readonly again?: (() => void) | undefined }) {
  const known = error instanceof Refusal ? error : new Refusal(0, "The server cannot be reached.", "");
  return (
    <Alert color="red" title={known.message} role="alert">
      {known.hint && <p>{known.hint}</p>}
      {again && (
        <Button size="xs" variant="default" onClick={again}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/** Shows what was asked for, or that it is on its way, or why it cannot be had. What is old stays while it is asked anew. */
export function Loaded<T>({ query, children }: { readonly query: UseQueryResult<T>; readonly children: (data: T) => ReactNode }) {
  if (query.data !== undefined) {
    return (
      <>
        {query.isError && <Failed error={query.error} again={() => void query.refetch()} />}
        {children(query.data)}
      </>
    );
  }
  if (query.isError) return <Failed error={query.error} again={() => void query.refetch()} />;
  return (
    <div className="loading" role="status">
      <Loader size="sm" /> Loading
    </div>
  );
}
