import { NativeSelect, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy } from "react";
import { useSearchParams } from "wouter";
import { type Run, type RunItem, type Workspace, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { Page } from "../layout/Page";
import { Facts } from "../parts/Facts";
import { Note } from "../parts/Note";
import { Empty, Loaded, Loading } from "../parts/Told";
import { Faults } from "./Faults";
import { Plan } from "./Plan";
import { RunRows } from "./Runs";
import { Servers, States } from "./Machines";
import { WorkspaceRun } from "./WorkspaceRun";

const Formulas = lazy(() => import("./Formulas"));

/** One workspace: its servers and formulas, what state they are in, and what would be done. */
export default function WorkspacePage({ name }: { readonly name: string }) {
  const [query, setQuery] = useSearchParams();
  const infra = query.get("infra") ?? undefined;
  const newest = useNewest(name);
  const found = useQuery({
    queryKey: ["workspace", name, infra],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}", { params: { path: { name }, query: infra === undefined ? {} : { infra } } })),
  });
  const infras = found.data?.infras ?? [];
  const choose = (next: string) =>
    setQuery((before) => {
      before.set("infra", next);
      return before;
    });
  const aside = infras.length > 1 && (
    <NativeSelect aria-label="Infrastructure" value={found.data?.infra} data={infras} onChange={(event) => choose(event.currentTarget.value)} />
  );
  return (
    <Page title={name} aside={aside}>
      <Loaded query={found}>{(workspace) => <Body workspace={workspace} run={newest} />}</Loaded>
    </Page>
  );
}

/** The newest run of a workspace with its steps. All of the page is asked for anew as that run goes on. */
function useNewest(workspace: string): Run | undefined {
  const list = useQuery({
    queryKey: ["runs", "newest", workspace],
    queryFn: () => got(api.GET("/api/v1/runs", { params: { query: { workspace, limit: 1 } } })),
  });
  const item: RunItem | undefined = list.data?.runs[0];
  const run = useQuery({
    queryKey: ["run", item?.run_id ?? ""],
    queryFn: () => got(api.GET("/api/v1/runs/{run}", { params: { path: { run: item?.run_id ?? "" } } })),
    enabled: item !== undefined,
  });
  const topics = item && !item.ended ? ["runs", `run:${item.run_id}`] : ["runs"];
  useLive(topics, useRefresh([["workspace", workspace], ["runs"], ["run", item?.run_id ?? ""]], 1000));
  return run.data;
}

function Body({ workspace, run }: { readonly workspace: Workspace; readonly run: Run | undefined }) {
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") ?? "plan";
  const choose = (next: string | null) =>
    setQuery((before) => {
      before.set("tab", next ?? "plan");
      return before;
    });
  return (
    <>
      <Facts
        facts={[
          ["Folder", <span className="mono">{workspace.path}</span>],
          ["Infrastructure", workspace.infras.length > 1 && workspace.infra],
          ["Servers", workspace.servers.length],
          ["Formulas", workspace.formulas],
        ]}
      />
      <Faults faults={workspace.faults} />
      {run && <WorkspaceRun run={run} />}
      {workspace.busy && (!run || run.ended) && <Note tone="busy">{`Somebody works on it now: ${workspace.busy}`}</Note>}
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
          <Suspense fallback={<Loading />}>
            <Formulas workspace={workspace} run={run} />
          </Suspense>
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
