// Writes the types of the API from its contract. Errors are left out: they are all problems, which api/problem.ts reads.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const contract = JSON.parse(await readFile("../schemas/openapi.json", "utf8"));
for (const path of Object.values(contract.paths)) {
  for (const operation of Object.values(path)) {
    for (const code of Object.keys(operation.responses ?? {})) if (code >= "400") delete operation.responses[code];
  }
}
await writeFile("src/api/schema.d.ts", astToString(await openapiTS(contract)));
