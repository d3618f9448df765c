import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { api, got } from "../api/client";
import { Page } from "../layout/Page";
import { Empty, Loaded } from "../parts/Told";

/** The workspaces that this server knows. */
export default function Workspaces() {
  const list = useQuery({ queryKey: ["workspaces"], queryFn: () => got(api.GET("/api/v1/workspaces")) });
  return (
    <Page title="Workspaces">
      <Loaded query={list}>
        {({ workspaces }) =>
          workspaces.length ? (
            <ul className="cards">
              {workspaces.map((one) => (
                <li key={one.path} className="panel">
                  <Link href={`/workspaces/${encodeURIComponent(one.name)}`}>{one.name}</Link> {one.active && <span className="chip">active</span>}
                  {!one.exists && <span className="state" data-tone="bad"> ✕ its folder is gone</span>}
                  <div className="quiet mono">{one.path}</div>
                </li>
              ))}
            </ul>
          ) : (
            <Empty title="There are no workspaces yet.">
              <code>provisioning workspace init</code> makes one, <code>provisioning workspace use</code> shows one that is there.
            </Empty>
          )
        }
      </Loaded>
    </Page>
  );
}
