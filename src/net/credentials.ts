// Where credentials come from: nowhere, a file, or Docker's own configuration. They are read anew each time they are needed, so
// that a rotated file counts at once.
import { NetError } from './errors.ts'

/** What a server is told about who asks. Never logged, never part of an error. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** A refresh token, which only a token realm may see. */
  | { readonly kind: 'identity-token'; readonly token: string }

export interface CredentialSource {
  /**
   * Credentials for a registry host as Docker names it (`registry.example.com:5000`, `docker.io`); undefined: anonymous.
   * @throws NetError CREDENTIALS_UNREADABLE, CREDENTIAL_HELPER_FAILED
   */
  credentialsFor(host: string): Promise<Credentials | undefined>
}

export const ANONYMOUS: CredentialSource = { credentialsFor: () => Promise.resolve(undefined) }

/** A user name and a password, each read when it is needed. */
export function passwordSource(readUsername: () => string, readPassword: () => string): CredentialSource {
  return {
    credentialsFor: () => {
      try {
        const username = readUsername()
        if (username === '' || username.includes(':')) throw new Error('A user name is empty or holds a colon.')
        return Promise.resolve({ kind: 'password', username, password: readPassword() })
      } catch (cause) {
        return Promise.reject(
          new NetError('CREDENTIALS_UNREADABLE', 'The files with the credentials cannot be used.', {}, { cause }),
        )
      }
    },
  }
}

/** RFC 7617. */
export function basicAuthorization({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}
