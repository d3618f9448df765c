import { Button, NativeSelect, PasswordInput, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Role, type User, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useSession } from "../api/session";
import { Page } from "../layout/Page";
import { Sure } from "../parts/Sure";
import { type Column, Table } from "../parts/Table";
import { Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock } from "../parts/times";

const KEY = ["users"];
export const ROLES: readonly Role[] = ["viewer", "operator", "admin"];

/** Who may log in, and as what. */
export default function Users() {
  const list = useQuery({ queryKey: KEY, queryFn: () => got(api.GET("/api/v1/users")) });
  const now = useNow(false);
  const columns: Column<User>[] = [
    { key: "name", head: "Name", width: "minmax(100px, 1.5fr)", narrow: true, cell: (user) => user.name },
    { key: "role", head: "Role", width: "130px", narrow: true, cell: (user) => <RoleOf user={user} /> },
    { key: "since", head: "Since", width: "140px", cell: (user) => clock(user.created_at, now) },
    { key: "remove", head: <span className="unseen">Remove</span>, width: "84px", narrow: true, end: true, cell: (user) => <Remove user={user} /> },
  ];
  return (
    <Page title="Users">
      <p className="quiet">Viewers look, operators run and repair, admins also decide who may.</p>
      <Add />
      <Loaded query={list}>{({ users }) => <Table label="Users" columns={columns} rows={users} keyOf={(user) => user.name} />}</Loaded>
    </Page>
  );
}

function Add() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const add = useAct(() => got(api.POST("/api/v1/users", { body: { name, password, role } })), {
    touches: [KEY],
    said: () => `${name} may log in.`,
    then: () => {
      setName("");
      setPassword("");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate(undefined);
  };
  return (
    <form className="tools" onSubmit={submit} aria-label="New user">
      <TextInput label="Name" required autoComplete="off" value={name} onChange={(event) => setName(event.currentTarget.value)} />
      <PasswordInput
        className="field"
        label="Password"
        required
        minLength={10}
        autoComplete="new-password"
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      <NativeSelect label="Role" value={role} data={[...ROLES]} onChange={(event) => setRole(event.currentTarget.value as Role)} />
      <Button type="submit" loading={add.isPending}>
        Add user
      </Button>
    </form>
  );
}

function RoleOf({ user }: { readonly user: User }) {
  const me = useSession();
  const change = useAct((role: Role) => got(api.PATCH("/api/v1/users/{name}", { params: { path: { name: user.name } }, body: { role } })), {
    touches: [KEY],
    said: (role) => `${user.name} is ${role} now.`,
  });
  if (user.name === me.name) return user.role;
  return (
    <NativeSelect
      size="xs"
      aria-label={`Role of ${user.name}`}
      value={user.role}
      data={[...ROLES]}
      disabled={change.isPending}
      onChange={(event) => change.mutate(event.currentTarget.value as Role)}
    />
  );
}

function Remove({ user }: { readonly user: User }) {
  const me = useSession();
  const remove = useAct(() => got(api.DELETE("/api/v1/users/{name}", { params: { path: { name: user.name } } })), {
    touches: [KEY],
    said: `${user.name} may not log in any more.`,
  });
  if (user.name === me.name) return <span className="quiet small">you</span>;
  return <Sure action="Remove" what={user.name} busy={remove.isPending} act={() => remove.mutate(undefined)} />;
}
