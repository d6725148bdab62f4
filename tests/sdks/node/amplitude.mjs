import * as amplitude from "@amplitude/analytics-node";
import { calls, key, tell, url } from "./told.mjs";

await amplitude.init(key, {
  serverUrl: `${url}/2/httpapi`,
  flushQueueSize: 10,
  flushIntervalMillis: 100,
  flushMaxRetries: 100_000,
  logLevel: amplitude.Types.LogLevel.None,
}).promise;

function identify({ number, properties }) {
  const found = new amplitude.Identify();
  for (const [name, value] of Object.entries(properties)) {
    number % 20 === 1 ? found.setOnce(name, value) : found.set(name, value);
  }
  return found;
}

function send(call) {
  const when = { time: call.at, insert_id: call.id };
  const options = { user_id: call.who, ...when };
  if (call.kind === "identify") {
    return amplitude.identify(identify(call), options);
  }
  if (call.kind === "group") {
    return amplitude.groupIdentify("company", call.group, identify(call), when);
  }
  return amplitude.track(call.event, call.properties, options);
}

// It gives an event up, with code 0, when nobody answers: its user sends it once more, with the same insert_id.
async function sendUntilTold(call) {
  let result;
  do {
    result = await send(call).promise;
  } while (result.code === 0);
  if (result.code !== 200) {
    tell(`${result.code} ${result.message}`);
  }
}

await Promise.all(calls.map(sendUntilTold));
