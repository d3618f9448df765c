import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { ME, dagDetail, dagItem, graphOf, problem, runItem, runOf, server, stepItem } from "./server";
import { show } from "./show";

const LIST = { folder: "/dags", total: 1, labels: ["team=data"], dags: [dagItem()], next: "" };

describe("getting in", () => {
  it("asks for the set-up token while there is nobody, and then shows the DAGs", async () => {
    const asked = server({
      "GET /api/v1/me": problem(401, "log in"),
      "GET /api/v1/setup": { needed: true },
      "POST /api/v1/setup": ME,
      "GET /api/v1/dags": LIST,
    });
    const user = show("/");
    await user.type(await screen.findByLabelText(/Set-up token/), "secret");
    await user.type(screen.getByLabelText(/Name/), "ann");
    await user.type(screen.getByLabelText(/Password/), "long enough word");
    await user.click(screen.getByRole("button", { name: "Create the first user" }));
    expect(await screen.findByRole("link", { name: "nightly" })).toBeTruthy();
    expect(asked.find((one) => one.call === "POST /api/v1/setup")?.body).toEqual({ token: "secret", name: "ann", password: "long enough word" });
  });

  it("says in the server's words why a log-in is refused", async () => {
    server({ "GET /api/v1/me": problem(401, "log in"), "GET /api/v1/setup": { needed: false }, "POST /api/v1/login": problem(401, "wrong name or password", "passwords are case sensitive") });
    const user = show("/");
    await user.type(await screen.findByLabelText(/Name/), "ann");
    await user.type(screen.getByLabelText(/Password/), "wrong");
    await user.click(screen.getByRole("button", { name: "Log in" }));
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("wrong name or password");
    expect(alert.textContent).toContain("passwords are case sensitive");
  });
});

describe("the list of DAGs", () => {
  it("says what to do where there are none, and what went wrong where it fails", async () => {
    server({ "GET /api/v1/me": ME, "GET /api/v1/dags": { ...LIST, total: 0, dags: [] } });
    show("/");
    expect(await screen.findByText("There are no DAGs yet.")).toBeTruthy();
    expect(screen.getByText(/Put a YAML file with steps into \/dags/)).toBeTruthy();
  });

  it("shows an error with a way to try again", async () => {
    let answers = 0;
    server({ "GET /api/v1/me": ME, "GET /api/v1/dags": () => (answers++ ? LIST : problem(503, "the store is locked")) });
    const user = show("/");
    expect(await screen.findByText("the store is locked")).toBeTruthy();
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("link", { name: "nightly" })).toBeTruthy();
  });

  it("suspends a schedule, and leaves it as it is where the server refuses", async () => {
    const asked = server({ "GET /api/v1/me": ME, "GET /api/v1/dags": LIST, "POST /api/v1/dags/nightly/suspend": problem(409, "it cannot be suspended now") });
    const user = show("/");
    const toggle = await screen.findByRole<HTMLInputElement>("switch", { name: "Schedule of nightly" });
    expect(toggle.checked).toBe(true);
    await user.click(toggle);
    expect(await screen.findByText("it cannot be suspended now")).toBeTruthy();
    await waitFor(() => expect(toggle.checked).toBe(true));
    expect(asked.filter((one) => one.call.startsWith("POST")).length).toBe(1);
  });

  it("offers a viewer nothing that changes anything", async () => {
    server({ "GET /api/v1/me": { ...ME, role: "viewer" }, "GET /api/v1/dags": LIST });
    show("/");
    expect((await screen.findByRole<HTMLInputElement>("switch")).disabled).toBe(true);
    expect(screen.queryByRole("button", { name: "Run nightly" })).toBeNull();
    const places = within(screen.getByRole("navigation", { name: "Main" }));
    expect(places.queryByRole("link", { name: "Users" })).toBeNull();
    expect(places.queryByRole("link", { name: "Tokens" })).toBeNull();
  });
});

const DAY = { name: "day", type: "string", required: true, enum: [], description: "" };
const COUNT = { name: "count", default: "3", type: "integer", required: false, enum: [], minimum: 1, maximum: 9, description: "" };

describe("starting a run", () => {
  const answers = {
    "GET /api/v1/me": ME,
    "GET /api/v1/dags": LIST,
    "GET /api/v1/dags/nightly": dagDetail({ params: [DAY, COUNT] }),
    "POST /api/v1/dags/nightly/runs": { run_id: "run-1", workflow: "nightly", status: "queued" },
    "GET /api/v1/runs/run-1": runOf([stepItem("a")]),
    "GET /api/v1/runs/run-1/graph": graphOf(["a"]),
  };

  it("asks for what is required, checks it, sends only what differs from the defaults, and shows the run", async () => {
    const asked = server(answers);
    const user = show("/");
    await user.click(await screen.findByRole("button", { name: "Run nightly" }));
    const count = await screen.findByLabelText(/count/);
    await user.clear(count);
    await user.type(count, "many");
    await user.click(screen.getByRole("button", { name: "Run now" }));
    expect(screen.getByText("This is required.")).toBeTruthy();
    expect(screen.getByText("A whole number.")).toBeTruthy();
    expect(asked.some((one) => one.call.startsWith("POST"))).toBe(false);

    await user.clear(count);
    await user.type(count, "3");
    await user.type(screen.getByLabelText(/day/), "monday");
    await user.click(screen.getByRole("button", { name: "Run now" }));
    await waitFor(() => expect(location.pathname).toBe("/runs/run-1"));
    expect(asked.find((one) => one.call.startsWith("POST"))?.body).toEqual({ params: { day: "monday" }, labels: {} });
  });
});

describe("a run", () => {
  const failed = runOf([stepItem("a"), stepItem("b", { state: "failed", error: "exit code 2", attempts: 2 })], { status: "failed", exit_code: 1 });
  const attempt = (number: number) => ({ step: "b", attempt: number, epoch: number, worker: "", state: "failed", exit_code: 2, error_kind: "", error: "", log: "", streams: ["stdout", "stderr"] });
  const answers = {
    "GET /api/v1/me": ME,
    "GET /api/v1/runs/run-1": failed,
    "GET /api/v1/runs/run-1/graph": graphOf(["a", "b"]),
    "GET /api/v1/runs/run-1/attempts": { attempts: [attempt(1), attempt(2)] },
    "GET /api/v1/runs/run-1/steps/b/log": ({ query }: { query: URLSearchParams }) => `${query.get("stream")} of ${query.get("attempt")}\n<b>bold</b>\n`,
    "POST /api/v1/runs/run-1/retry": { done: true },
  };

  it("opens a step to what each attempt printed on both streams, as text and never as markup", async () => {
    server(answers);
    const user = show("/runs/run-1");
    await screen.findByRole("button", { name: "b", expanded: true }); // what failed is open at once
    const out = await screen.findByRole("log", { name: "stdout of b" });
    await within(out).findByText("stdout of 2");
    expect(within(out).getByText("<b>bold</b>")).toBeTruthy();
    expect(out.querySelector("b")).toBeNull();
    await user.selectOptions(screen.getByLabelText("Attempt"), "1");
    expect(await screen.findByText("stderr of 1")).toBeTruthy();
  });

  it("shows the end of a very long log from a whole line on, and where all of it is", async () => {
    const headers = { "Content-Range": "bytes 5000000-8999999/9000000" };
    server({ ...answers, "GET /api/v1/runs/run-1/steps/b/log": new Response("half a line\nwhole line\n", { status: 206, headers }) });
    show("/runs/run-1");
    const out = await screen.findByRole("log", { name: "stdout of b" });
    await within(out).findByText("whole line");
    expect(within(out).queryByText("half a line")).toBeNull();
    const [all] = screen.getAllByRole<HTMLAnchorElement>("link", { name: "Download all of it" });
    expect(all?.getAttribute("href")).toBe("/api/v1/runs/run-1/steps/b/log?stream=stdout&attempt=2&download=true");
  });

  it("is run again where it failed, or from a step", async () => {
    const asked = server(answers);
    const user = show("/runs/run-1");
    await user.click(await screen.findByRole("button", { name: "Retry" }));
    await user.click(await screen.findByRole("button", { name: "Retry only this step" }));
    await waitFor(() =>
      expect(asked.filter((one) => one.call.startsWith("POST")).map((one) => one.body)).toEqual([{ downstream: true }, { step: "b", downstream: false }]),
    );
  });

  it("that waits for a person is approved with the values that were filled in", async () => {
    const asks = { step: "ask", prompt: "Release?", inputs: ["VERSION", "REASON"], required: ["REASON"] };
    const waiting = runOf([stepItem("ask", { state: "waiting", ended_at: null })], { status: "waiting", ended: false, ended_at: null, waiting: ["ask"], approvals: [asks] });
    const asked = server({ ...answers, "GET /api/v1/runs/run-1": waiting, "POST /api/v1/runs/run-1/approve": { done: true } });
    const user = show("/runs/run-1");
    const panel = within(await screen.findByRole("region", { name: "ask waits for approval" }));
    expect(panel.getByText("Release?")).toBeTruthy();
    await user.click(panel.getByRole("button", { name: "Approve" }));
    expect(panel.getByText("This is required.")).toBeTruthy();
    expect(asked.some((one) => one.call.startsWith("POST"))).toBe(false);
    await user.type(panel.getByLabelText(/REASON/), "because = so");
    await user.click(panel.getByRole("button", { name: "Approve" }));
    await waitFor(() => expect(asked.find((one) => one.call.endsWith("/approve"))?.body).toEqual({ step: "ask", inputs: { REASON: "because = so" } }));
  });

  it("of 5,000 steps has few rows in the page, and finds a step by its name", async () => {
    const many = Array.from({ length: 5000 }, (_, index) => stepItem(`step-${index}`));
    server({ ...answers, "GET /api/v1/runs/run-1": runOf(many), "GET /api/v1/runs/run-1/graph": graphOf(many.map((step) => step.id)) });
    const user = show("/runs/run-1");
    const table = await screen.findByRole("table", { name: "Steps" });
    expect(table.getAttribute("aria-rowcount")).toBe("5001");
    expect(within(table).getAllByRole("row").length).toBeLessThan(200);
    await user.type(screen.getByLabelText("Search steps"), "step-4999");
    expect(await within(table).findByRole("button", { name: "step-4999" })).toBeTruthy();
  });
});

describe("an address that leads nowhere", () => {
  it("says so and leads back", async () => {
    server({ "GET /api/v1/me": ME });
    show("/nowhere");
    expect(await screen.findByRole("heading", { name: "Nothing is here" })).toBeTruthy();
    expect(screen.getByRole("link", { name: "To the DAGs" })).toBeTruthy();
  });

  it("of a run that is gone tells it in the server's words", async () => {
    server({ "GET /api/v1/me": ME, "GET /api/v1/runs/gone": problem(404, "no run has the id gone", "it may have been removed") });
    show("/runs/gone");
    expect((await screen.findByRole("alert")).textContent).toContain("no run has the id gone");
  });
});

describe("the list of runs", () => {
  it("filters by status", async () => {
    const asked = server({ "GET /api/v1/me": ME, "GET /api/v1/runs": { runs: [runItem()], next: "" } });
    const user = show("/runs");
    await screen.findByRole("link", { name: "nightly" });
    await user.selectOptions(screen.getByLabelText("Status"), "failed");
    await waitFor(() => expect(asked.some((one) => one.query.get("status") === "failed")).toBe(true));
  });
});
