// A person works in a headless Chromium that holds a cookie in place of tokens: node session.mjs CONFIG, where CONFIG is JSON with
//
//   chromium  the path of the browser
//   envoy     HOST:PORT of Envoy's listener; http://shop.localhost and its sibling evil.shop.localhost are there
//   issuer    the authorization server (`tests/oauth/server.mjs`), with the client `spa`
//   seconds   for how long the person works
//   admin     {url, credential}: the admin API, at which the session is revoked
//
// Prints one line of JSON: what the pages saw.
import {chromium} from 'playwright-core';

const {chromium: executablePath, envoy, issuer, seconds, admin} = JSON.parse(process.argv[2]);
const SHOP = 'http://shop.localhost';
const SIBLING = 'http://evil.shop.localhost';
const PATIENCE_MS = 20_000;
const EVERY_MS = 500;

const hosts = `MAP shop.localhost:80 ${envoy}, MAP evil.shop.localhost:80 ${envoy}`;
const fonts = 'MAP *.googleapis.com ~NOTFOUND, MAP *.gstatic.com ~NOTFOUND';
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=${hosts}, ${fonts}`],
});

// Logs in as a single-page application does, at a page of the shop; what the token endpoint has answered.
async function logIn(page) {
  await page.goto(`${SHOP}/callback`);
  const challenge = await page.evaluate(async () => {
    const text = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
    sessionStorage.verifier = text(crypto.getRandomValues(new Uint8Array(32)));
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(sessionStorage.verifier));
    return text(new Uint8Array(digest));
  });
  const query = new URLSearchParams({
    client_id: 'spa', response_type: 'code', redirect_uri: `${SHOP}/callback`, prompt: 'consent',
    scope: 'openid offline_access orders:read orders:write', code_challenge: challenge, code_challenge_method: 'S256',
  });
  await page.goto(`${issuer}/auth?${query}`);
  await page.fill('[name=login]', 'anna');
  await page.fill('[name=password]', 'any');
  await page.click('[type=submit]');
  await page.waitForSelector('[value=consent]', {state: 'attached'});
  await page.click('[type=submit]');
  await page.waitForURL(`${SHOP}/callback?**`);
  return page.evaluate(async (redirect_uri) => {
    const answer = await fetch('/oauth2/token', {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code', client_id: 'spa', code: new URLSearchParams(location.search).get('code'),
        redirect_uri, code_verifier: sessionStorage.verifier, portcullis_cookie: '1',
      }),
    });
    return {status: answer.status, members: Object.keys(await answer.json()).sort()};
  }, `${SHOP}/callback`);
}

// What requests of a page are answered, one after another: the status, and the code of a refusal.
function ask(page, count, everyMs) {
  return page.evaluate(async ([count, everyMs]) => {
    const answers = [];
    for (let at = 0; at < count; at += 1) {
      const answer = await fetch('/me', {cache: 'no-store'});
      const {code} = await answer.json();
      answers.push(code ? `${answer.status} ${code}` : answer.status);
      if (everyMs > 0) await new Promise((done) => setTimeout(done, everyMs));
    }
    return answers;
  }, [count, everyMs]);
}

function others(answers) {
  return answers.map((answer, at) => [at, answer]).filter(([, answer]) => answer !== 200);
}

function post(page, path) {
  return page.evaluate(async (path) => (await fetch(path, {method: 'POST'})).status, path);
}

async function cookies(context) {
  const all = await context.cookies(SHOP);
  return all.filter(({name}) => name === '__Host-portcullis');
}

async function open() {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  return {context, page};
}

const seen = {version: browser.version()};
const {context, page} = await open();
await page.goto(`${SHOP}/callback`);
seen.before = await ask(page, 1, 0);
seen.login = await logIn(page);
const [cookie] = await cookies(context);
seen.cookie = cookie && {httpOnly: cookie.httpOnly, secure: cookie.secure, sameSite: cookie.sameSite, path: cookie.path};
seen.script = await page.evaluate(() => document.cookie);

// A websocket that is open all the time.
await page.evaluate(() => new Promise((done, failed) => {
  window.held = new WebSocket('ws://shop.localhost/stream/socket');
  window.ended = new Promise((closed) => { window.held.onclose = () => closed(true); });
  window.held.onmessage = () => done();
  window.ended.then(failed);
  window.held.onopen = () => window.held.send('hello');
}));

// A page of another origin makes the browser send the cookie, and nobody is logged out.
const sibling = await context.newPage();
await sibling.goto(`${SIBLING}/callback`);
const refused = sibling.waitForResponse(`${SHOP}/oauth2/logout`);
await sibling.evaluate((url) => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'}), `${SHOP}/oauth2/logout`);
seen.siblingLogsOut = (await refused).status();

const worked = await ask(page, seconds * 1_000 / EVERY_MS, EVERY_MS);
seen.worked = {requests: worked.length, others: others(worked)};
seen.socketIsOpen = await page.evaluate(() => window.held.readyState === WebSocket.OPEN);

const call = (method, path) =>
  fetch(`${admin.url}${path}`, {method, headers: {authorization: `Bearer ${admin.credential}`}});
const {sessions: [session]} = await (await call('GET', '/v1/sessions?client_id=spa&state=active')).json();
seen.revoked = (await call('POST', `/v1/sessions/${session.id}/revoke`)).status;
seen.afterRevocation = await ask(page, 3, 0);
seen.socketIsCut = await page.evaluate(() => window.ended);
seen.cookieIsGone = (await cookies(context)).length === 0;

// Another browser logs in, its cookie is stolen, and it logs out.
const second = await open();
seen.again = (await logIn(second.page)).status;
seen.againWorks = await ask(second.page, 2, 0);
const [stolen] = await cookies(second.context);
seen.logout = await post(second.page, '/oauth2/logout');
seen.afterLogout = await ask(second.page, 2, 0);
seen.logoutAgain = await post(second.page, '/oauth2/logout');
const thief = await fetch(`http://${envoy}/me`, {headers: {cookie: `__Host-portcullis=${stolen.value}`}});
seen.stolen = [thief.status, (await thief.json()).code];
seen.handles = [cookie.value, stolen.value];
console.log(JSON.stringify(seen));
await browser.close();
