// oidc-provider as the authorization server of the end-to-end tests: `node server.mjs PORT [--sid] [--logout URI] [--rotate on|off]
// [--ttl SECONDS]`.
//
// Clients (secret `secret-of-…`, client_secret_basic): `machine` (client_credentials), `web` (authorization_code with
// PKCE, refresh_token) and `gateway` (introspection only). `spa` is as `web`, a public client of a page. Resources: `urn:jwt` has JWT access tokens, `urn:opaque` opaque ones.
// `POST /rotate` signs with a new key from then on; `?keep` leaves the old one in the key set.
import { createServer } from 'node:http';
import { generateKeyPair, exportJWK } from 'jose';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
// `--logout URI`: where the client `web` is told of logouts (OpenID Connect Back-Channel Logout 1.0).
const logout = process.argv.includes('--logout') ? process.argv[process.argv.indexOf('--logout') + 1] : undefined;
// `--rotate`: whether refresh tokens are used once; a second use revokes the grant. `--ttl`: the life of access tokens.
const option = (name) => process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined;
const rotates = option('--rotate');
const ttl = Number(option('--ttl') ?? 3600);
const SCOPES = 'orders:read orders:write customers:read';

const client = (client_id, more) => ({
  client_id,
  client_secret: `secret-of-${client_id}-which-is-long-enough`,
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_basic',
  id_token_signed_response_alg: 'ES256',
  scope: `openid offline_access ${SCOPES}`,
  ...more,
});

const clients = [
  client('machine', { grant_types: ['client_credentials'] }),
  client('web', {
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['https://app.example.com/callback'],
    ...(logout && { backchannel_logout_uri: logout, backchannel_logout_session_required: true }),
  }),
  client('spa', {
    client_secret: undefined,
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://shop.localhost/callback'],
  }),
  client('gateway', { grant_types: [] }),
];

const resource = (audience, accessTokenFormat) => ({
  scope: SCOPES,
  audience,
  accessTokenFormat,
  accessTokenTTL: ttl,
  jwt: { sign: { alg: 'ES256' } },
});

const resources = {
  'urn:jwt': resource('orders-api', 'jwt'),
  'urn:opaque': resource('orders-api', 'opaque'),
};

// Shared by all providers: a rotation makes a new provider, and earlier tokens must stay valid.
const store = new Map();
class Adapter {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { store.set(this.key(id), payload); }
  async find(id) { return store.get(this.key(id)); }
  async #search(name, value) {
    return [...store].find(([key, payload]) => key.startsWith(`${this.model}:`) && payload[name] === value)?.[1];
  }
  async findByUid(uid) { return this.#search('uid', uid); }
  async findByUserCode(code) { return this.#search('userCode', code); }
  async destroy(id) { store.delete(this.key(id)); }
  async consume(id) { store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(grantId) {
    for (const [key, payload] of store) if (payload.grantId === grantId) store.delete(key);
  }
}

async function signingKey() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: crypto.randomUUID() };
}

function provider(keys) {
  return new Provider(issuer, {
    adapter: Adapter,
    clients,
    jwks: { keys },
    cookies: { keys: ['a cookie key for tests alone'] },
    scopes: ['openid', 'offline_access', ...SCOPES.split(' ')],
    // Its own way of calling refuses loopback addresses.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    ...(rotates && { rotateRefreshToken: () => rotates === 'on' }),
    findAccount: async (ctx, sub) => ({ accountId: sub, claims: async () => ({ sub }) }),
    // `--sid`: adds the claims that tie an access token to the login. Real servers may or may not have them.
    // With logouts, the `sid` is that of ID tokens and logout tokens.
    extraTokenClaims: async (ctx, token) => {
      const sid = logout ? token.sid : process.argv.includes('--sid') && token.sessionUid;
      return sid ? { sid } : undefined;
    },
    features: {
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: Boolean(logout) },
      introspection: { enabled: true, allowedPolicy: async (ctx, caller) => caller.clientId === 'gateway' },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => 'urn:jwt',
        useGrantedResource: async () => true,
        getResourceServerInfo: async (ctx, name) => resources[name],
      },
    },
  }).callback();
}

let keys = [await signingKey()];
let answer = provider(keys);

createServer(async (request, response) => {
  if (request.method === 'POST' && request.url.startsWith('/rotate')) {
    const next = await signingKey();
    keys = request.url.endsWith('?keep') ? [next, ...keys] : [next];
    answer = provider(keys);
    response.writeHead(204).end();
    return;
  }
  answer(request, response);
}).listen(port, '127.0.0.1');
