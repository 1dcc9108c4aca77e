// A provider of OpenID Connect, of others' making: its own pages to sign in, its own checks of us. Anybody it knows comes in by any
// password. ACCOUNTS has the claims of each account, as JSON; PUT /accounts changes them. Writes its port to standard output.
import { createServer } from "node:http";
import Provider from "oidc-provider";

let accounts = JSON.parse(process.env.ACCOUNTS);

const configuration = {
  clients: [
    {
      client_id: "offhook",
      client_secret: process.env.SECRET,
      // A native client's loopback address may have any port: https://www.rfc-editor.org/rfc/rfc8252#section-7.3
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/login/oidc/callback", "http://localhost/login/oidc/callback"],
      post_logout_redirect_uris: ["http://127.0.0.1/login", "http://localhost/login"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
  cookies: { keys: ["of the tests alone"] },
  findAccount: (_, id) => id in accounts && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
};

function textOf(request) {
  return new Promise((resolve) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => resolve(Buffer.concat(parts).toString("utf8")));
  });
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const provided = new Provider(`http://127.0.0.1:${port}`, configuration).callback();
  server.on("request", async (request, response) => {
    if (request.method !== "PUT") return provided(request, response);
    accounts = JSON.parse(await textOf(request));
    response.statusCode = 204;
    return response.end();
  });
  console.log(port);
});
