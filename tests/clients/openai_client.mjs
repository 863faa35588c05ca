// The openai package of npm: files, batches, answers, streams, structured output, models.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const model = "gpt-4.1";
const messages = [{ role: "user", content: "It boils fast." }];
const url = "/v1/chat/completions";
const lines = [0, 1, 2].map((n) =>
  JSON.stringify({ custom_id: `row-${n}`, method: "POST", url, body: { model, messages } }),
);
const content = lines.join("\n") + "\n";

async function ended(batch) {
  while (!["completed", "failed", "cancelled", "expired"].includes(batch.status)) {
    await sleep(100);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function submit(file) {
  const input = await client.files.create({ file, purpose: "batch" });
  return client.batches.create({
    input_file_id: input.id,
    endpoint: url,
    completion_window: "24h",
    metadata: { from: "npm" },
  });
}

// With a name, and without one.
for (const file of [
  await toFile(Buffer.from(content), "input.jsonl"),
  await toFile(Buffer.from(content)),
]) {
  const batch = await ended(await submit(file));
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.request_counts, { total: 3, completed: 3, failed: 0 });
  const output = await (await client.files.content(batch.output_file_id)).text();
  const answers = output.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(answers.map((one) => one.custom_id).sort(), ["row-0", "row-1", "row-2"]);
  const listed = [];
  for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id);
  assert(listed.includes(batch.id));
  assert((await client.files.delete(batch.input_file_id)).deleted);
  await assert.rejects(client.files.retrieve(batch.input_file_id), OpenAI.NotFoundError);
}

const running = await submit(await toFile(Buffer.from(content), "input.jsonl"));
assert.equal((await client.batches.cancel(running.id)).status, "cancelling");
assert.equal((await ended(running)).status, "cancelled");

const plain = await client.chat.completions.create({ model, messages });
const text = plain.choices[0].message.content;
let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(streamed, text);
const runner = client.chat.completions.stream({ model, messages });
assert.equal(await runner.finalContent(), text);
const final = await client.responses.stream({ model, input: "Hello?" }).finalResponse();
assert.equal(final.output_text, (await client.responses.create({ model, input: "Hello?" })).output_text);

const schema = {
  type: "object",
  properties: { stars: { type: "integer" } },
  required: ["stars"],
  additionalProperties: false,
};
const parsed = await client.chat.completions.parse({
  model,
  messages,
  response_format: { type: "json_schema", json_schema: { name: "r", strict: true, schema } },
});
assert.deepEqual(Object.keys(JSON.parse(parsed.choices[0].message.content)), ["stars"]);

const input = ["one", "two"];
const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input });
assert.deepEqual(vectors.data.map((one) => one.embedding.length), [1536, 1536]);
assert.equal((await client.models.retrieve("any/model")).id, "any/model");

for (const feature of [
  ...["upload", "create", "wait", "content", "list", "cancel", "delete"],
  ...["structured", "streaming", "embeddings"],
]) {
  console.log(feature);
}
