// What the calls send: a question, a picture, a sound, files of lines. And how they wait.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

export const CHAT_MODEL = "gpt-4o-mini";
export const TUNED_MODEL = "gpt-4o-mini-2024-07-18";

const given = JSON.parse(readFileSync(new URL("./material.json", import.meta.url)));
export const PERSON = given.person;
export const WEATHER = given.weather;
export const TOOL_QUESTION = given.tool_question;
export const bytes = (name) => Buffer.from(given[name], "base64");

export const picture = () => toFile(bytes("picture"), "square.png", { type: "image/png" });
export const sound = () => toFile(bytes("sound"), "speech.wav", { type: "audio/wav" });
export const lines = (name) => toFile(bytes(name), "lines.jsonl");

// A chat request; without a text, one that nobody sent before.
export const chat = (text, rest = {}) => ({
  model: CHAT_MODEL,
  messages: [{ role: "user", content: text ?? `What do budgets limit? ${randomUUID()}` }],
  ...rest,
});

// All events of a stream, or all entries of a list on all its pages.
export async function every(stream) {
  const found = [];
  for await (const event of await stream) found.push(event);
  return found;
}

// The object that `fetch` answers, once its status is one of `ends`.
export async function until(fetch, ...ends) {
  for (const deadline = Date.now() + 30_000; ; await setTimeout(50)) {
    const found = await fetch();
    if (ends.includes(found.status)) return found;
    assert(Date.now() < deadline, `still ${found.status}`);
  }
}

// Make a call that must be answered with 404.
export const gone = (call) => assert.rejects(call, OpenAI.NotFoundError);
