// The TypeScript client at work: starts an execution, follows it, lists it, reads its log, and is refused.
// WAYFARER_URL is the gateway's address, WAYFARER_API_KEY a key. Prints what it saw as JSON.
import { randomUUID } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import type { Execution, paths, Problem } from "./wayfarer.js";

const DOCUMENT = `
key: typescript_journey
steps:
  - {id: tag, type: add_tag, config: {tag: newcomer}}
`;
const workflow = "typescript_journey";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** What was answered; throws the problem if there is none. */
function good<T>({ data, error }: { data?: T | undefined; error?: Problem | undefined }): T {
  if (data === undefined) throw new Error(error?.detail ?? "no answer");
  return data;
}

/** The problem that was answered; throws if there is none. */
function refused({ error }: { error?: Problem | undefined }): Problem {
  if (!error) throw new Error("it was not refused");
  return error;
}

/** Starts an execution for a new contact; asking twice with one key starts one. */
async function start(client: Client<paths>): Promise<Execution> {
  good(await client.POST("/api/v1/workflows", { body: { document: DOCUMENT, publish: true } }));
  const contact = good(await client.POST("/api/v1/contacts", { body: { first_name: "Jane", tags: ["vip"] } }));
  const asked = {
    params: { path: { workflow }, header: { "Idempotency-Key": randomUUID() } },
    body: { contact_id: contact.id, trigger: { campaign: "spring" } },
  };
  const first = good(await client.POST("/api/v1/workflows/{workflow}/execute", asked));
  const again = good(await client.POST("/api/v1/workflows/{workflow}/execute", asked));
  if (!first.execution || first.execution.id !== again.execution?.id) throw new Error("it was started twice");
  return first.execution;
}

/** Waits until the execution has ended. */
async function follow(client: Client<paths>, { id }: Execution): Promise<void> {
  const changes = await client.GET("/api/v1/executions/{id}/watch", { params: { path: { id } }, parseAs: "stream" });
  let told = "";
  for await (const part of good(changes)!.pipeThrough(new TextDecoderStream())) {
    told += part;
    if (told.includes("event: end")) return;
  }
  throw new Error("the stream broke off");
}

const client = createClient<paths>({
  baseUrl: setting("WAYFARER_URL"),
  headers: { authorization: `Bearer ${setting("WAYFARER_API_KEY")}` },
});
const list = "/api/v1/workflows/{workflow}/executions";
const execution = await start(client);
await follow(client, execution);
const query = { status: "COMPLETED", limit: 10 } as const;
const listed = good(await client.GET(list, { params: { path: { workflow }, query } }));
const log = good(
  await client.GET("/api/v1/executions/{execution_id}/logs", {
    params: { path: { execution_id: execution.id }, query: { limit: 2, page: 1 } },
  }),
);
const nobody = refused(
  await client.POST("/api/v1/workflows/{workflow}/execute", {
    params: { path: { workflow } },
    body: { contact_id: randomUUID() },
  }),
);
const tooMany = refused(await client.GET(list, { params: { path: { workflow }, query: { limit: 1001 } } }));
console.log(
  JSON.stringify({
    execution: execution.id,
    listed: listed.executions.map((one) => one.id),
    log: log.log_entries.map((entry) => entry.event),
    total: log.total,
    nobody: [nobody.status, nobody.reason],
    too_many: tooMany.errors?.map((one) => [one.field, one.rule]),
  }),
);
