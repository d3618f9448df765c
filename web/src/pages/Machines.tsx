import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type ResourceItem, type ServerItem, api, got } from "../api/client";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { toneOf, worded } from "../parts/states";
import { clock } from "../parts/times";

/** The machines of a workspace, with what each has. */
export function Servers({ servers }: { readonly servers: readonly ServerItem[] }) {
  const columns: Column<ServerItem>[] = [
    { key: "host", head: "Server", width: "minmax(90px, 1fr)", narrow: true, cell: (one) => <strong className="one-line">{one.hostname}</strong> },
    { key: "address", head: "Address", width: "minmax(120px, 1.1fr)", cell: (one) => <span className="mono one-line">{addressOf(one)}</span> },
    { key: "labels", head: "Site and labels", width: "minmax(80px, 0.8fr)", cell: (one) => <span className="quiet small">{placeOf(one)}</span> },
    { key: "has", head: "Taskservs", width: "minmax(140px, 2.5fr)", narrow: true, cell: (one) => <Has one={one} /> },
  ];
  if (!servers.length) return <Empty title="It declares no servers." />;
  return <Table label="Servers" columns={columns} rows={servers} keyOf={(one) => one.hostname} />;
}

function Has({ one }: { readonly one: ServerItem }) {
  const all = Object.entries(one.taskservs);
  if (!all.length) return <span className="quiet">nothing yet</span>;
  return (
    <div className="chips">
      {all.map(([taskserv, state]) => (
        <span key={taskserv} className="chip held" data-tone={toneOf(state)} title={`${taskserv}: ${worded(state)}`}>
          {taskserv} <State state={state} />
        </span>
      ))}
    </div>
  );
}

function addressOf({ user, address, port }: ServerItem): string {
  return `${user ? `${user}@` : ""}${address}${port === 22 ? "" : `:${port}`}`;
}

function placeOf({ site, labels }: ServerItem): string {
  const told = Object.entries(labels ?? {}).map(([key, value]) => (value ? `${key}=${value}` : key));
  return [site, ...told].filter(Boolean).join(", ");
}

/** What is recorded of each taskserv on each server. */
export function States({ name }: { readonly name: string }) {
  const now = useNow(false);
  const state = useQuery({
    queryKey: ["workspace", name, "state"],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}/state", { params: { path: { name } } })),
  });
  const columns: Column<ResourceItem>[] = [
    { key: "server", head: "Server", width: "minmax(70px, 0.8fr)", narrow: true, cell: (one) => one.server },
    { key: "what", head: "Taskserv", width: "minmax(80px, 1fr)", narrow: true, cell: (one) => one.taskserv },
    { key: "state", head: "State", width: "minmax(105px, 1fr)", narrow: true, cell: (one) => <State state={one.state} /> },
    { key: "op", head: "Operation", width: "90px", cell: (one) => one.operation },
    { key: "profile", head: "Profile", width: "90px", cell: (one) => one.profile },
    { key: "end", head: "Since", width: "120px", cell: (one) => clock(one.ended_at ?? one.started_at, now) },
    { key: "run", head: "Run", width: "54px", cell: (one) => one.run_id && <Link href={`/runs/${encodeURIComponent(one.run_id)}`}>open</Link> },
    { key: "blocker", head: "Blocked by", width: "minmax(80px, 1fr)", cell: (one) => <span className="one-line">{one.blocker}</span> },
  ];
  return (
    <Loaded query={state}>
      {({ resources, serial }) =>
        resources.length ? (
          <>
            <p className="quiet small">{`Serial ${serial}: how often the state was written.`}</p>
            <Table label="State" columns={columns} rows={resources} keyOf={(one) => `${one.server}\n${one.taskserv}`} />
          </>
        ) : (
          <Empty title="Nothing has been installed yet." />
        )
      }
    </Loaded>
  );
}
