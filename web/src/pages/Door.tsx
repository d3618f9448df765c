import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { useLocation } from "wouter";
import { type Me, api, got } from "../api/client";
import { ME } from "../api/session";
import { Page } from "../layout/Page";
import { Failed } from "../parts/Told";

/** The first start: whoever has the token that the server printed makes the first user. */
export function SetUp() {
  const [token, setToken] = useState(() => new URLSearchParams(location.hash.slice(1)).get("token") ?? "");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Door title="Welcome" action="Create the first user" enter={() => got(api.POST("/api/v1/setup", { body: { token, name, password } }))}>
      <p className="quiet">The server printed a set-up token when it started. It makes you its first user, an admin.</p>
      <TextInput label="Set-up token" required autoComplete="off" value={token} onChange={(event) => setToken(event.currentTarget.value)} />
      <TextInput label="Name" required autoComplete="username" value={name} onChange={(event) => setName(event.currentTarget.value)} />
      <PasswordInput
        label="Password"
        description="At least 10 characters"
        required
        minLength={10}
        autoComplete="new-password"
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
    </Door>
  );
}

export function Login() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Door title="Log in" action="Log in" enter={() => got(api.POST("/api/v1/login", { body: { name, password } }))}>
      <TextInput label="Name" required autoComplete="username" value={name} onChange={(event) => setName(event.currentTarget.value)} />
      <PasswordInput
        label="Password"
        required
        autoComplete="current-password"
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
    </Door>
  );
}

interface Props {
  readonly title: string;
  readonly action: string;
  readonly enter: () => Promise<Me>;
  readonly children: ReactNode;
}

function Door({ title, action, enter, children }: Props) {
  const client = useQueryClient();
  const [at, go] = useLocation();
  const onSuccess = (me: Me) => {
    client.setQueryData(ME, me);
    if (at === "/setup" || at === "/login") go("/", { replace: true });
  };
  const entering = useMutation({ mutationFn: enter, onSuccess });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    entering.mutate();
  };
  return (
    <form className="door" onSubmit={submit}>
      <Page title={title}>
        {children}
        {entering.isError && <Failed error={entering.error} />}
        <Button type="submit" loading={entering.isPending}>
          {action}
        </Button>
      </Page>
    </form>
  );
}
