// The first example of the documentation with the official npm package; prints the answer and
// the headers that it came with.

import OpenAI from "openai";

const openai = new OpenAI();
const { data, response } = await openai.chat.completions
  .create({
    model: "gpt-3.5-turbo",
    messages: [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: "게이트웨이가 무엇인지 쉽게 설명해 주세요." },
    ],
    max_tokens: 1000,
    temperature: 0.7,
  })
  .withResponse();
console.log(JSON.stringify({ headers: Object.fromEntries(response.headers), body: data }));
