// The application's half of OAuth in the official TypeScript client: somewhere to keep things,
// and a browser. Discovery, registration, PKCE and step-up are the SDK's own.

import { randomUUID } from 'node:crypto';

import { visit } from './user-agent.mjs';

/** Nobody listens there: the headless browser stops when it is sent there. */
const REDIRECT_URI = 'http://127.0.0.1/callback';

/** An `OAuthClientProvider` that keeps everything in memory and asks nobody. */
export class HeadlessOAuth {
  redirectUrl = REDIRECT_URI;

  clientMetadata = {
    client_name: 'Countersign demo (TypeScript)',
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };

  /** Parameters of the last callback, for the transport's `finishAuth`. */
  callback;

  #state;
  #client;
  #tokens;
  #verifier;
  #discovery;

  /** With a `DpopSession` the tokens are bound to its key, and each request brings a proof. */
  constructor(dpopSession) {
    if (dpopSession) this.dpop = () => dpopSession;
  }

  state() {
    this.#state = randomUUID();
    return this.#state;
  }

  async redirectToAuthorization(url) {
    this.callback = (await visit(url, REDIRECT_URI)).searchParams;
    if (this.callback.get('state') !== this.#state) throw new Error('state differs');
  }

  clientInformation = () => this.#client;
  saveClientInformation = (client) => { this.#client = client; };
  tokens = () => this.#tokens;
  saveTokens = (tokens) => { this.#tokens = tokens; };
  codeVerifier = () => this.#verifier;
  saveCodeVerifier = (verifier) => { this.#verifier = verifier; };
  discoveryState = () => this.#discovery;
  saveDiscoveryState = (discovery) => { this.#discovery = discovery; };
}
