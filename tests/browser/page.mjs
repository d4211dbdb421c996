// Drives a headless Chromium: node page.mjs CONFIG, where CONFIG is JSON with
//
//   chromium  the path of the browser
//   envoy     HOST:PORT of Envoy's listener; shop.test and its sibling evil.shop.test are there
//   token     an access token
//   revoke    {url, credential}: the call that ends the token's session
//
// Prints one line of JSON: what the pages saw.
import {chromium} from 'playwright-core';

const {chromium: executablePath, envoy, token, revoke} = JSON.parse(process.argv[2]);
const SHOP = 'http://shop.test';
// A sibling of the shop: browsers send it the shop's cookies with `SameSite=Lax`, although it is another origin.
const SIBLING = 'http://evil.shop.test';
const PATIENCE_MS = 20_000;

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=MAP *.test:80 ${envoy}, MAP shop.test:80 ${envoy}`],
});

// The status that the browser received, which a page of another origin cannot read itself.
async function status(page, method, url) {
  const answer = page.waitForResponse((response) => response.request().method() === method && response.url() === url);
  await page.evaluate(([method, url]) => fetch(url, {method, mode: 'no-cors', credentials: 'include'}), [method, url]);
  return (await answer).status();
}

// Opens a websocket and sends something: what came back, and the subprotocol that was selected. It stays open as `held`.
function socket(page, url, protocols) {
  return page.evaluate(([url, protocols]) => new Promise((done) => {
    const held = new WebSocket(url, protocols);
    window.held = held;
    window.ended = new Promise((closed) => { held.onclose = () => closed(true); });
    held.onopen = () => held.send('hello');
    held.onmessage = ({data}) => done({echo: data, protocol: held.protocol});
    window.ended.then(() => done({closed: true}));
  }), [url, protocols]);
}

async function open(context, origin) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(`${origin}/page`);
  return page;
}

const seen = {version: browser.version()};
const customer = await browser.newContext();
await customer.addCookies([{name: 'session', value: token, url: SHOP, httpOnly: true, sameSite: 'Lax'}]);
const own = await open(customer, SHOP);
seen.read = await status(own, 'GET', `${SHOP}/me`);
seen.change = await status(own, 'POST', `${SHOP}/me`);
seen.socket = await socket(own, 'ws://shop.test/stream/socket', []);

const sibling = await open(customer, SIBLING);
seen.siblingReads = await status(sibling, 'GET', `${SHOP}/me`);
seen.siblingChanges = await status(sibling, 'POST', `${SHOP}/me`);
seen.siblingSocket = await socket(sibling, 'ws://shop.test/stream/socket', []);

const guest = await browser.newContext();
const page = await open(guest, SHOP);
seen.guest = await status(page, 'GET', `${SHOP}/me`);
seen.subprotocol = await socket(page, 'ws://shop.test/stream/socket', ['bearer', token]);
const chat = await open(guest, SHOP);
seen.chat = await socket(chat, 'ws://shop.test/stream/socket', ['chat', 'bearer', token]);

const answer = await fetch(revoke.url, {method: 'POST', headers: {authorization: `Bearer ${revoke.credential}`}});
seen.revoked = answer.status;
seen.cut = await Promise.all([own, page, chat].map((page) => page.evaluate(() => window.ended)));
seen.afterwards = await status(own, 'GET', `${SHOP}/me`);
console.log(JSON.stringify(seen));
await browser.close();
