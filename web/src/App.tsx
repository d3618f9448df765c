import { useQuery } from "@tanstack/react-query";
import { type ReactNode, Suspense, lazy } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { api, got } from "./api/client";
import { SessionOf, useMe } from "./api/session";
import { Page } from "./layout/Page";
import { Shell } from "./layout/Shell";
import { Login, SetUp } from "./pages/Door";
import { DagsPage } from "./pages/Dags";
import { Boundary } from "./parts/Boundary";
import { Say } from "./parts/Say";
import { Empty, Loaded, Loading } from "./parts/Told";

// What the first page does not need comes when it is asked for.
const Dag = lazy(() => import("./pages/Dag"));
const Runs = lazy(() => import("./pages/Runs"));
const RunPage = lazy(() => import("./pages/Run"));
const Schedules = lazy(() => import("./pages/Schedules"));
const Workspaces = lazy(() => import("./pages/Workspaces"));
const WorkspacePage = lazy(() => import("./pages/Workspace"));
const DeadLetters = lazy(() => import("./pages/DeadLetters"));
const Tokens = lazy(() => import("./pages/Tokens"));
const Users = lazy(() => import("./pages/Users"));
const Audit = lazy(() => import("./pages/Audit"));
const Account = lazy(() => import("./pages/Account"));

export function App() {
  const me = useMe();
  return (
    <Say>
      <Loaded query={me}>
        {(someone) =>
          someone ? (
            <SessionOf me={someone}>
              <Shell>
                <Pages />
              </Shell>
            </SessionOf>
          ) : (
            <Outside />
          )
        }
      </Loaded>
    </Say>
  );
}

function Outside() {
  const setup = useQuery({ queryKey: ["setup"], queryFn: () => got(api.GET("/api/v1/setup")) });
  return <main>{<Loaded query={setup}>{({ needed }) => (needed ? <SetUp /> : <Login />)}</Loaded>}</main>;
}

function Pages() {
  const [at] = useLocation();
  return (
    <Boundary at={at}>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">{<DagsPage />}</Route>
          <Route path="/dags/:name">{({ name }) => <Dag key={name} name={name} />}</Route>
          <Route path="/runs">{<Runs />}</Route>
          <Route path="/runs/:run">{({ run }) => <RunPage key={run} run={run} />}</Route>
          <Route path="/schedules">{<Schedules />}</Route>
          <Route path="/workspaces">{<Workspaces />}</Route>
          <Route path="/workspaces/:name">{({ name }) => <WorkspacePage key={name} name={name} />}</Route>
          <Route path="/dead-letters">{<DeadLetters />}</Route>
          <Route path="/tokens">{<Tokens />}</Route>
          <Route path="/users">{<Users />}</Route>
          <Route path="/audit">{<Audit />}</Route>
          <Route path="/account">{<Account />}</Route>
          <Route>{<Nowhere />}</Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

function Nowhere(): ReactNode {
  return (
    <Page title="Nothing is here">
      <Empty title="This address leads nowhere.">
        <Link href="/">To the DAGs</Link>
      </Empty>
    </Page>
  );
}
