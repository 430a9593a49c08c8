// Chat, responses, completions, embeddings, moderations and models.

import assert from "node:assert/strict";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CHAT_MODEL, TOOL_QUESTION, WEATHER, chat, every, gone, until } from "./material.mjs";

const Person = z.object({ name: z.string(), age: z.number() });
const QUESTION = { model: CHAT_MODEL, input: "What do budgets limit?" };
const COMPLETION = { model: "gpt-3.5-turbo-instruct", prompt: "Budgets limit", max_tokens: 20 };

export const calls = {
  async chat(openai) {
    const answer = await openai.chat.completions.create(chat());
    assert(answer.choices[0].message.content);
    assert(answer.usage.completion_tokens > 0);
  },

  async chat_stream(openai) {
    const asked = chat(undefined, { stream: true, stream_options: { include_usage: true } });
    const chunks = await every(openai.chat.completions.create(asked));
    assert(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""));
    assert(chunks.at(-1).usage.completion_tokens > 0);
    const whole = await openai.chat.completions.stream(chat()).finalChatCompletion();
    assert(whole.choices[0].message.content);
  },

  async chat_tools(openai) {
    const asked = chat(TOOL_QUESTION, { tools: [{ type: "function", function: WEATHER }] });
    const { message } = (await openai.chat.completions.create(asked)).choices[0];
    const [call] = message.tool_calls;
    assert(JSON.parse(call.function.arguments).city);
    asked.messages.push(message, { role: "tool", tool_call_id: call.id, content: "It rains." });
    const after = await openai.chat.completions.create(asked);
    assert(after.choices[0].message.content);
  },

  async chat_schema(openai) {
    const form = { response_format: zodResponseFormat(Person, "person") };
    const answer = await openai.chat.completions.parse(chat(undefined, form));
    assert.equal(typeof answer.choices[0].message.parsed.age, "number");
  },

  async stored_chat(openai) {
    const stored = openai.chat.completions;
    const asked = chat(undefined, { store: true, metadata: { topic: "budgets" } });
    const made = await stored.create(asked);
    assert.equal((await stored.retrieve(made.id)).id, made.id);
    assert((await every(stored.list())).some((found) => found.id === made.id));
    const changed = await stored.update(made.id, { metadata: { topic: "windows" } });
    assert.deepEqual(changed.metadata, { topic: "windows" });
    const [message] = await every(stored.messages.list(made.id));
    assert.equal(message.content, asked.messages[0].content);
    assert((await stored.delete(made.id)).deleted);
    await gone(() => stored.retrieve(made.id));
  },

  async completions(openai) {
    const answer = await openai.completions.create(COMPLETION);
    assert(answer.choices[0].text);
    assert(answer.usage.completion_tokens > 0);
  },

  async completions_stream(openai) {
    const chunks = await every(openai.completions.create({ ...COMPLETION, stream: true }));
    assert(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""));
  },

  async embeddings(openai) {
    const asked = { model: "text-embedding-3-small", input: ["one", "two words"] };
    const answer = await openai.embeddings.create(asked);
    assert.deepEqual(answer.data.map((entry) => entry.embedding.length), [1536, 1536]);
  },

  async moderations(openai) {
    const answer = await openai.moderations.create({ input: "Budgets limit." });
    assert.equal(answer.results[0].flagged, false);
  },

  async models(openai) {
    const names = (await every(openai.models.list())).map((model) => model.id);
    for (const name of ["gpt-4o", CHAT_MODEL, "text-embedding-3-small"]) {
      assert(names.includes(name), name);
    }
    assert.equal((await openai.models.retrieve("gpt-4o")).id, "gpt-4o");
  },

  async responses(openai) {
    const answer = await openai.responses.create(QUESTION);
    assert.equal(answer.status, "completed");
    assert(answer.output_text);
    const following = { ...QUESTION, previous_response_id: answer.id };
    const after = await openai.responses.create(following);
    assert(after.usage.input_tokens > answer.usage.input_tokens);
  },

  async responses_stream(openai) {
    const events = await every(openai.responses.create({ ...QUESTION, stream: true }));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const whole = await openai.responses.stream(QUESTION).finalResponse();
    assert(whole.output_text);
  },

  async responses_tools(openai) {
    const tools = [{ type: "function", ...WEATHER }];
    const asked = { model: CHAT_MODEL, tools };
    const answer = await openai.responses.create({ ...asked, input: TOOL_QUESTION });
    const call = answer.output.find((item) => item.type === "function_call");
    assert(JSON.parse(call.arguments).city);
    const told = { type: "function_call_output", call_id: call.call_id, output: "It rains." };
    const following = { ...asked, previous_response_id: answer.id, input: [told] };
    assert((await openai.responses.create(following)).output_text);
  },

  async responses_schema(openai) {
    const text = { format: zodTextFormat(Person, "person") };
    const answer = await openai.responses.parse({ ...QUESTION, text });
    assert.equal(typeof answer.output_parsed.age, "number");
  },

  async responses_background(openai) {
    const begin = (milliseconds) =>
      openai.responses.create({
        ...QUESTION,
        background: true,
        metadata: { sim_background_ms: milliseconds },
      });
    const made = await begin("100");
    assert(["queued", "in_progress"].includes(made.status));
    const done = await until(() => openai.responses.retrieve(made.id), "completed", "failed");
    assert(done.output_text);
    const slow = await begin("60000");
    assert.equal((await openai.responses.cancel(slow.id)).status, "cancelled");
  },

  async stored_responses(openai) {
    const made = await openai.responses.create(QUESTION);
    assert.equal((await openai.responses.retrieve(made.id)).output_text, made.output_text);
    const [item] = await every(openai.responses.inputItems.list(made.id));
    assert.equal(item.content[0].text, QUESTION.input);
    await openai.responses.delete(made.id);
    await gone(() => openai.responses.retrieve(made.id));
  },

  async responses_count(openai) {
    assert((await openai.responses.inputTokens.count(QUESTION)).input_tokens > 0);
  },

  async responses_compact(openai) {
    const input = [{ role: "user", content: QUESTION.input }];
    const compacted = await openai.responses.compact({ model: CHAT_MODEL, input });
    assert.equal(compacted.object, "response.compaction");
  },
};
