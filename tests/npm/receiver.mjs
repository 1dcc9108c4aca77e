// A receiver that asks Twilio's own package for Node.js whether each request is genuine: 204 if it is, 403 if not.
// Writes its port to standard output. The token is in TOKEN.
import { createServer } from "node:http";
import { parse } from "node:querystring";
import twilio from "twilio";

const token = process.env.TOKEN;

function isGenuine(request, body) {
  const url = `http://${request.headers.host}${request.url}`;
  const signature = request.headers["x-twilio-signature"];
  if (url.includes("bodySHA256=")) return twilio.validateRequestWithBody(token, signature, url, body);
  return twilio.validateRequest(token, signature, url, parse(body, "&", "=", { maxKeys: 0 }));
}

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    response.statusCode = isGenuine(request, Buffer.concat(parts).toString("utf8")) ? 204 : 403;
    response.end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
