import { Alert, NativeSelect, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { useSearchParams } from "wouter";
import { type ResourceItem, type ServerItem, type Workspace, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { Page } from "../layout/Page";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock } from "../parts/times";
import { Faults } from "./Faults";
import { stepsOf } from "./graphs";
import { Plan } from "./Plan";
import { RunRows } from "./Runs";

const DagGraph = lazy(() => import("../graph/DagGraph"));

/** One workspace: its servers and formulas, what state they are in, and what would be done. */
export default function WorkspacePage({ name }: { readonly name: string }) {
  const [query, setQuery] = useSearchParams();
  const infra = query.get("infra") ?? undefined;
  useLive(["runs"], useRefresh([["workspace", name], ["runs"]], 1500));
  const found = useQuery({
    queryKey: ["workspace", name, infra],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}", { params: { path: { name }, query: infra === undefined ? {} : { infra } } })),
  });
  const infras = found.data?.infras ?? [];
  const aside = infras.length > 1 && (
    <NativeSelect aria-label="Infrastructure" value={found.data?.infra} data={infras} onChange={(event) => setQuery({ infra: event.currentTarget.value })} />
  );
  return (
    <Page title={name} aside={aside}>
      <Loaded query={found}>{(workspace) => <Body workspace={workspace} />}</Loaded>
    </Page>
  );
}

function Body({ workspace }: { readonly workspace: Workspace }) {
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") ?? "plan";
  const choose = (next: string | null) =>
    setQuery((before) => {
      before.set("tab", next ?? "plan");
      return before;
    });
  return (
    <>
      <p className="quiet mono">{workspace.path}</p>
      <Faults faults={workspace.faults} />
      {workspace.busy && (
        <Alert mb="md" color="blue">
          {`Somebody works on it now: ${workspace.busy}`}
        </Alert>
      )}
      <Tabs value={tab} onChange={choose} keepMounted={false}>
        <Tabs.List aria-label="Views of this workspace">
          <Tabs.Tab value="plan">Plan</Tabs.Tab>
          <Tabs.Tab value="formulas">Formulas</Tabs.Tab>
          <Tabs.Tab value="servers">Servers</Tabs.Tab>
          <Tabs.Tab value="state">State</Tabs.Tab>
          <Tabs.Tab value="runs">Runs</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="plan" pt="md">
          {workspace.valid ? <Plan workspace={workspace} /> : <Empty title="It has faults, so it has no plan." />}
        </Tabs.Panel>
        <Tabs.Panel value="formulas" pt="md">
          <Formulas workspace={workspace} />
        </Tabs.Panel>
        <Tabs.Panel value="servers" pt="md">
          <Servers servers={workspace.servers} />
        </Tabs.Panel>
        <Tabs.Panel value="state" pt="md">
          <States name={workspace.name} />
        </Tabs.Panel>
        <Tabs.Panel value="runs" pt="md">
          <RunRows filter={{ workspace: workspace.name }} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Formulas({ workspace }: { readonly workspace: Workspace }) {
  const { name, infra } = workspace;
  const graph = useQuery({
    queryKey: ["workspace", name, "graph", infra],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}/graph", { params: { path: { name }, query: infra ? { infra } : {} } })),
    enabled: workspace.valid,
  });
  const [chosen, setChosen] = useState<string>();
  if (!workspace.valid) return <Empty title="It has faults, so it has no graph." />;
  return (
    <Loaded query={graph}>
      {(found) =>
        found.nodes.length ? (
          <Suspense fallback={<p className="loading">Loading</p>}>
            <DagGraph label={`Formulas of ${name}`} steps={stepsOf(found)} selected={chosen} onSelect={setChosen} />
            {chosen !== undefined && <p className="panel">{`${chosen}: ${found.nodes.find((node) => node.id === chosen)?.does ?? ""}`}</p>}
          </Suspense>
        ) : (
          <Empty title="It has no DAG: taskservs are installed one by one." />
        )
      }
    </Loaded>
  );
}

function Servers({ servers }: { readonly servers: readonly ServerItem[] }) {
  const columns: Column<ServerItem>[] = [
    { key: "host", head: "Server", width: "minmax(110px, 1fr)", narrow: true, cell: (one) => one.hostname },
    { key: "address", head: "Address", width: "minmax(110px, 1fr)", cell: (one) => <span className="mono">{`${one.user ? `${one.user}@` : ""}${one.address}${one.port === 22 ? "" : `:${one.port}`}`}</span> },
    { key: "site", head: "Site", width: "90px", cell: (one) => one.site },
    {
      key: "has",
      head: "Taskservs",
      width: "minmax(140px, 2.5fr)",
      narrow: true,
      cell: (one) => (
        <div className="chips">
          {Object.entries(one.taskservs).map(([taskserv, state]) => (
            <span key={taskserv} className="chip">
              {taskserv} <State state={state} />
            </span>
          ))}
        </div>
      ),
    },
  ];
  if (!servers.length) return <Empty title="It declares no servers." />;
  return <Table label="Servers" columns={columns} rows={servers} keyOf={(one) => one.hostname} />;
}

function States({ name }: { readonly name: string }) {
  const now = useNow(false);
  const state = useQuery({
    queryKey: ["workspace", name, "state"],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}/state", { params: { path: { name } } })),
  });
  const columns: Column<ResourceItem>[] = [
    { key: "what", head: "Taskserv", width: "minmax(110px, 1.4fr)", narrow: true, cell: (one) => `${one.server} / ${one.taskserv}` },
    { key: "state", head: "State", width: "minmax(105px, 1fr)", narrow: true, cell: (one) => <State state={one.state} /> },
    { key: "op", head: "Operation", width: "100px", cell: (one) => one.operation },
    { key: "profile", head: "Profile", width: "100px", cell: (one) => one.profile },
    { key: "end", head: "Since", width: "130px", cell: (one) => clock(one.ended_at ?? one.started_at, now) },
    { key: "blocker", head: "Blocked by", width: "minmax(90px, 1fr)", cell: (one) => <span className="one-line">{one.blocker}</span> },
  ];
  return (
    <Loaded query={state}>
      {({ resources, serial }) =>
        resources.length ? (
          <>
            <p className="quiet">{`Serial ${serial}`}</p>
            <Table label="State" columns={columns} rows={resources} keyOf={(one) => `${one.server}\n${one.taskserv}`} />
          </>
        ) : (
          <Empty title="Nothing has been installed yet." />
        )
      }
    </Loaded>
  );
}
