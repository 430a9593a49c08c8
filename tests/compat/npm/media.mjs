// Images and audio.

import assert from "node:assert/strict";
import { every, picture, sound } from "./material.mjs";

const IMAGE = { model: "gpt-image-1", prompt: "A budget", size: "1024x1024", quality: "low" };
const SPEECH = { model: "gpt-4o-mini-tts", voice: "alloy", input: "Budgets hold." };
const PNG = "89504e470d0a1a0a";

const starts = (answer) => Buffer.from(answer.data[0].b64_json, "base64").toString("hex", 0, 8);
const received = async (answer) => Buffer.from(await answer.arrayBuffer());

export const calls = {
  async images(openai) {
    const answer = await openai.images.generate(IMAGE);
    assert.equal(starts(answer), PNG);
    assert(answer.usage.output_tokens > 0);
    const byPiece = { model: "dall-e-3", prompt: "A budget", size: "1024x1024" };
    assert((await openai.images.generate(byPiece)).data[0].url);
  },

  async images_stream(openai) {
    const asked = { ...IMAGE, stream: true, partial_images: 1 };
    const events = await every(openai.images.generate(asked));
    assert.deepEqual(
      events.map((event) => event.type),
      ["image_generation.partial_image", "image_generation.completed"],
    );
  },

  async image_edits(openai) {
    const answer = await openai.images.edit({ ...IMAGE, image: await picture() });
    assert.equal(starts(answer), PNG);
  },

  async image_variations(openai) {
    const answer = await openai.images.createVariation({
      model: "dall-e-2",
      image: await picture(),
      size: "256x256",
      response_format: "b64_json",
    });
    assert.equal(starts(answer), PNG);
  },

  async speech(openai) {
    for (const model of ["tts-1", "gpt-4o-mini-tts"]) {
      const answer = await openai.audio.speech.create({ ...SPEECH, model, response_format: "wav" });
      assert.equal((await received(answer)).toString("latin1", 0, 4), "RIFF");
    }
  },

  async speech_stream(openai) {
    const answer = await openai.audio.speech.create({ ...SPEECH, stream_format: "sse" });
    assert((await received(answer)).includes('"speech.audio.done"'));
  },

  async transcriptions(openai) {
    for (const model of ["whisper-1", "gpt-4o-mini-transcribe"]) {
      const answer = await openai.audio.transcriptions.create({ model, file: await sound() });
      assert(answer.text);
    }
    const asked = { model: "whisper-1", file: await sound(), response_format: "text" };
    assert.equal(typeof (await openai.audio.transcriptions.create(asked)), "string");
  },

  async transcriptions_stream(openai) {
    const asked = { model: "gpt-4o-mini-transcribe", file: await sound(), stream: true };
    const events = await every(openai.audio.transcriptions.create(asked));
    const done = events.pop();
    assert.equal(done.type, "transcript.text.done");
    assert.equal(events.map((event) => event.delta).join(""), done.text);
  },

  async translations(openai) {
    const asked = { model: "whisper-1", file: await sound() };
    assert((await openai.audio.translations.create(asked)).text);
  },
};
