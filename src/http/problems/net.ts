// Rows for the codes of connections and of authentication toward other servers.
import type { NetErrorCode } from '../../net/errors.ts'
import { refuse, retry, type ProblemRow } from './row.ts'

const AGAIN = 'Send the request again; an operator may have to look at the server or the network.'
const CONFIGURATION = 'An operator must correct the configuration of this server.'

export const NET_PROBLEMS = {
  NET_DNS: retry(502, 'The name of a server cannot be resolved', AGAIN),
  NET_ADDRESS_FORBIDDEN: refuse(
    502,
    'The name of a receiver leads to an address that is not connected to',
    'No connection was made. If the address is right, an operator must set allowPrivateAddresses for this endpoint.',
  ),
  NET_REFUSED: retry(502, 'A server refuses connections', AGAIN),
  NET_TLS: refuse(
    502,
    'A server has no certificate that is trusted',
    `${CONFIGURATION} For a private authority name caFile.`,
  ),
  NET_CONNECT_TIMEOUT: retry(504, 'A server did not accept a connection in time', AGAIN),
  NET_TIMEOUT: retry(504, 'A server did not answer in time', AGAIN),
  NET_RESET: retry(502, 'A server ended the connection', AGAIN),
  NET_MALFORMED: refuse(502, 'A server sent what is not HTTP', CONFIGURATION),
  NET_TOO_LARGE: refuse(502, 'A server sent more than is read', 'Call an operator: limits, or an attack.'),
  CHALLENGE_MALFORMED: refuse(502, 'A server asks for authentication in a way that is not understood', CONFIGURATION),
  CHALLENGE_UNSUPPORTED: refuse(502, 'A server asks for a kind of authentication that is not supported', CONFIGURATION),
  TOKEN_REALM_NOT_ALLOWED: refuse(
    502,
    'A server names a token realm that is not configured',
    'If the realm is right, an operator must add it to tokenRealms. Nothing was sent there.',
  ),
  TOKEN_REFUSED: refuse(502, 'A token server refuses our credentials', CONFIGURATION),
  TOKEN_UNAVAILABLE: retry(503, 'A token server is not able to answer now', AGAIN),
  TOKEN_MALFORMED: refuse(502, 'A token server sent no usable token', CONFIGURATION),
  CREDENTIALS_OVER_PLAIN_HTTP: refuse(502, 'Credentials would travel without TLS', CONFIGURATION),
  CREDENTIALS_UNREADABLE: refuse(502, 'The credentials for a server cannot be read', CONFIGURATION),
  CREDENTIAL_HELPER_FAILED: refuse(502, 'The credential helper of Docker failed', CONFIGURATION),
} as const satisfies Record<NetErrorCode, ProblemRow>
