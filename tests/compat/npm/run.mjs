// The official npm package against an OpenAI-compatible server. The address and the key come
// from the environment, as the package itself reads them. Prints, as JSON, how each of the calls
// named on the command line went: null, or what was wrong.

import OpenAI from "openai";
import { calls as media } from "./media.mjs";
import { calls as objects } from "./objects.mjs";
import { calls as text } from "./text.mjs";

const calls = { ...text, ...media, ...objects };
const openai = new OpenAI({ maxRetries: 0 });
const went = {};
for (const name of process.argv.slice(2)) {
  try {
    await calls[name](openai);
    went[name] = null;
  } catch (error) {
    went[name] = `${error.stack}`;
  }
}
console.log(JSON.stringify(went));
