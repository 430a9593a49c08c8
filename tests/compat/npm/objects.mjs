// Files, uploads, batches, fine-tuning and the models that come of it.

import assert from "node:assert/strict";
import { TUNED_MODEL, bytes, chat, every, gone, lines, until } from "./material.mjs";

const batchFile = async (openai) =>
  openai.files.create({ file: await lines("batch_lines"), purpose: "batch" });

const job = async (openai, milliseconds) => {
  const file = await lines("training_lines");
  const source = await openai.files.create({ file, purpose: "fine-tune" });
  return openai.fineTuning.jobs.create({
    model: TUNED_MODEL,
    training_file: source.id,
    metadata: { sim_job_ms: milliseconds },
  });
};

const content = async (openai, id) =>
  Buffer.from(await (await openai.files.content(id)).arrayBuffer());

const has = async (list, id) => (await every(list)).some((found) => found.id === id);

export const calls = {
  async files(openai) {
    const made = await batchFile(openai);
    assert.equal((await openai.files.retrieve(made.id)).bytes, bytes("batch_lines").length);
    assert(await has(openai.files.list({ purpose: "batch" }), made.id));
    assert((await content(openai, made.id)).equals(bytes("batch_lines")));
    assert((await openai.files.delete(made.id)).deleted);
    await gone(() => openai.files.retrieve(made.id));
  },

  async uploads(openai) {
    const whole = bytes("batch_lines");
    const asked = {
      filename: "lines.jsonl",
      bytes: whole.length,
      mime_type: "application/jsonl",
      purpose: "batch",
    };
    const upload = await openai.uploads.create(asked);
    const half = Math.floor(whole.length / 2);
    const part_ids = [];
    for (const data of [whole.subarray(0, half), whole.subarray(half)]) {
      const part = { data: new File([data], "part") };
      part_ids.push((await openai.uploads.parts.create(upload.id, part)).id);
    }
    const done = await openai.uploads.complete(upload.id, { part_ids });
    assert((await content(openai, done.file.id)).equals(whole));
    const other = await openai.uploads.create(asked);
    assert.equal((await openai.uploads.cancel(other.id)).status, "cancelled");
  },

  async batches(openai) {
    const source = await batchFile(openai);
    const begin = (milliseconds) =>
      openai.batches.create({
        input_file_id: source.id,
        endpoint: "/v1/chat/completions",
        completion_window: "24h",
        metadata: { sim_batch_ms: milliseconds },
      });
    const made = await begin("100");
    const look = () => openai.batches.retrieve(made.id);
    const done = await until(look, "completed", "failed", "expired", "cancelled");
    assert.equal(done.status, "completed");
    const output = (await content(openai, done.output_file_id)).toString().trim().split("\n");
    const names = output.map((line) => JSON.parse(line).custom_id).sort();
    assert.deepEqual(names, ["line-0", "line-1", "line-2"]);
    assert(await has(openai.batches.list(), made.id));
    const slow = await begin("60000");
    await openai.batches.cancel(slow.id);
    await until(() => openai.batches.retrieve(slow.id), "cancelled");
  },

  async fine_tuning(openai) {
    const { jobs } = openai.fineTuning;
    const made = await job(openai, "100");
    const done = await until(() => jobs.retrieve(made.id), "succeeded", "failed", "cancelled");
    assert.equal(done.status, "succeeded");
    assert(done.trained_tokens > 0);
    assert(await has(jobs.list(), made.id));
    assert((await every(jobs.listEvents(made.id))).length > 0);
    assert((await every(jobs.checkpoints.list(made.id))).length > 0);
  },

  async fine_tuning_control(openai) {
    const { jobs } = openai.fineTuning;
    const slow = await job(openai, "60000");
    await until(() => jobs.retrieve(slow.id), "running");
    assert.equal((await jobs.pause(slow.id)).status, "queued");
    assert.equal((await jobs.resume(slow.id)).status, "running");
    assert.equal((await jobs.cancel(slow.id)).status, "cancelled");
  },

  async tuned_models(openai) {
    const made = await job(openai, "100");
    const look = () => openai.fineTuning.jobs.retrieve(made.id);
    const name = (await until(look, "succeeded", "failed")).fine_tuned_model;
    const answer = await openai.chat.completions.create({ ...chat(), model: name });
    assert(answer.choices[0].message.content);
    assert(await has(openai.models.list(), name));
    assert.equal((await openai.models.retrieve(name)).id, name);
    assert((await openai.models.delete(name)).deleted);
    await gone(() => openai.models.retrieve(name));
  },
};
