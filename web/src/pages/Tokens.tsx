import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Role, type TokenItem, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { CopyButton } from "../parts/CopyButton";
import { Note } from "../parts/Note";
import { Sure } from "../parts/Sure";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock } from "../parts/times";

const KEY = ["tokens"];

/** Tokens of programs: made, shown once, revoked. */
export default function Tokens() {
  const list = useQuery({ queryKey: KEY, queryFn: () => got(api.GET("/api/v1/tokens")) });
  const now = useNow(false);
  const columns: Column<TokenItem>[] = [
    { key: "for", head: "For", width: "minmax(100px, 1.5fr)", narrow: true, cell: (one) => one.purpose || <span className="mono">{one.id}</span> },
    { key: "role", head: "Role", width: "84px", narrow: true, cell: (one) => one.role },
    { key: "by", head: "By", width: "minmax(80px, 1fr)", cell: (one) => one.created_by },
    { key: "used", head: "Last used", width: "130px", cell: (one) => clock(one.used_at, now) || "never" },
    { key: "ends", head: "Ends", width: "130px", cell: (one) => clock(one.expires_at, now) || "never" },
    { key: "revoke", head: <span className="unseen">Revoke</span>, width: "84px", narrow: true, end: true, cell: (one) => <Revoke token={one} /> },
  ];
  return (
    <Page title="Tokens">
      <p className="quiet">For programs: they send a token as Authorization: Bearer. It may never more than who made it.</p>
      <Add />
      <Loaded query={list}>
        {({ tokens }) => (tokens.length ? <Table label="Tokens" columns={columns} rows={tokens} keyOf={(one) => one.id} /> : <Empty title="There are no tokens." />)}
      </Loaded>
    </Page>
  );
}

function Add() {
  const admin = useMay("admin");
  const [purpose, setPurpose] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState("90");
  const add = useAct(() => got(api.POST("/api/v1/tokens", { body: { purpose, role, days: days === "" ? null : Number(days) } })), {
    touches: [KEY],
    then: () => setPurpose(""),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate(undefined);
  };
  const roles: Role[] = admin ? ["viewer", "operator", "admin"] : ["viewer", "operator"];
  return (
    <>
      <form className="tools" onSubmit={submit} aria-label="New token">
        <TextInput label="For" required value={purpose} onChange={(event) => setPurpose(event.currentTarget.value)} />
        <NativeSelect label="Role" value={role} data={roles} onChange={(event) => setRole(event.currentTarget.value as Role)} />
        <TextInput type="number" label="Days" placeholder="without end" min={1} max={3650} value={days} onChange={(event) => setDays(event.currentTarget.value)} />
        <Button type="submit" loading={add.isPending}>
          Make a token
        </Button>
      </form>
      {add.data && (
        <Note tone="good" title="This is shown only once" alert>
          <p className="mono scroll">{add.data.token}</p>
          <CopyButton what={() => add.data.token} label="Copy the token" />
        </Note>
      )}
    </>
  );
}

function Revoke({ token }: { readonly token: TokenItem }) {
  const revoke = useAct(() => got(api.DELETE("/api/v1/tokens/{token}", { params: { path: { token: token.id } } })), {
    touches: [KEY],
    said: "The token is revoked.",
  });
  return <Sure action="Revoke" what={token.purpose || token.id} busy={revoke.isPending} act={() => revoke.mutate(undefined)} />;
}
