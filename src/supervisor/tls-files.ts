// The certificate authority and the server certificate of the embedded trust server, as files: made where there are none, and again before
// they end or where the server got other names. What clients have to be given is the authority's certificate, which lives ten years.
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { readSecretBytes } from '../config/secret-file.ts'
import { createAuthority, isAuthorityFor, issueServerCertificate } from './certificates.ts'
import { makeFolder, replaceFile, type Owner } from './private-files.ts'

export interface TlsFilesOptions {
  /** For the authority, whose key only the daemon's user can read. */
  readonly authorityFolder: string
  /** For the server's certificate and key. */
  readonly serverFolder: string
  /** The server's user, where it has one of its own. */
  readonly owner: Owner | undefined
  /** DNS names and IP addresses. */
  readonly names: readonly string[]
  readonly now: Date
  /** Set while the daemon runs: it knows the present authority. */
  readonly keepsAuthority?: boolean
}

export interface TlsFiles {
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
  /** What was made now. */
  readonly made: { readonly authority: boolean; readonly server: boolean }
  readonly expiresAt: Date
}

const DAY_MS = 86_400_000
/** Clocks of clients may be behind. */
const SLACK_MS = 3_600_000
const AUTHORITY_DAYS = 3_650
/** The longest that browsers and operating systems take. */
const SERVER_DAYS = 397
/** An authority ends after every certificate that it issues. */
const AUTHORITY_RENEWED_DAYS = SERVER_DAYS + 1
const SERVER_RENEWED_DAYS = 60

/** A world-readable file: clients are given it. */
const PUBLIC = 0o644

export function tlsFilePaths(o: Pick<TlsFilesOptions, 'authorityFolder' | 'serverFolder'>) {
  return {
    caFile: join(o.authorityFolder, 'ca.crt'),
    caKeyFile: join(o.authorityFolder, 'ca.key'),
    certFile: join(o.serverFolder, 'server.crt'),
    keyFile: join(o.serverFolder, 'server.key'),
  }
}

/** Makes what is missing, or ends soon, or does not fit. Keys have mode 0600. @throws ConfigError SECRET_FILE_* */
export function prepareTlsFiles(o: TlsFilesOptions): TlsFiles {
  const { caFile, caKeyFile, certFile, keyFile } = tlsFilePaths(o)
  makeFolder(o.authorityFolder, 0o700, undefined)
  makeFolder(o.serverFolder, 0o700, o.owner)
  const makesAuthority = o.keepsAuthority !== true && !isGoodAuthority(caFile, caKeyFile, o)
  if (makesAuthority) {
    // The number tells it from earlier ones in a client's list.
    const name = `Countersign trust server authority ${randomBytes(4).toString('hex')}`
    const made = createAuthority(name, o.names, validity(o.now, AUTHORITY_DAYS))
    replaceFile(caKeyFile, made.privateKeyPem, undefined)
    replaceFile(caFile, made.certificatePem, undefined, PUBLIC)
  }
  const makesServer = !isGoodServer(caFile, certFile, keyFile, o)
  if (makesServer) {
    const authority = { certificate: read(caFile), privateKey: createPrivateKey(readSecretBytes(caKeyFile)) }
    const made = issueServerCertificate(authority, 'Countersign trust server', o.names, validity(o.now, SERVER_DAYS))
    replaceFile(keyFile, made.privateKeyPem, o.owner)
    replaceFile(certFile, made.certificatePem, o.owner, PUBLIC)
  }
  const expiresAt = new Date(read(certFile).validTo)
  return { caFile, certFile, keyFile, made: { authority: makesAuthority, server: makesServer }, expiresAt }
}

function validity(now: Date, days: number) {
  return { from: new Date(now.getTime() - SLACK_MS), to: new Date(now.getTime() + days * DAY_MS) }
}

function isGoodAuthority(caFile: string, caKeyFile: string, { names, now }: TlsFilesOptions): boolean {
  if (!existsSync(caFile) || !existsSync(caKeyFile)) return false
  const certificate = read(caFile)
  return (
    isAuthorityFor(certificate, names) &&
    lasts(certificate, now, AUTHORITY_RENEWED_DAYS) &&
    certificate.checkPrivateKey(createPrivateKey(readSecretBytes(caKeyFile)))
  )
}

function isGoodServer(caFile: string, certFile: string, keyFile: string, { names, now }: TlsFilesOptions): boolean {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false
  const certificate = read(certFile)
  const authority = read(caFile)
  return (
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey) &&
    lasts(certificate, now, SERVER_RENEWED_DAYS) &&
    // A crash between the two files leaves a key that is another certificate's. The owner may be another user: root reads all the same.
    certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile))) &&
    names.every((name) => (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined)
  )
}

function lasts(certificate: X509Certificate, now: Date, days: number): boolean {
  const left = new Date(certificate.validTo).getTime() - now.getTime()
  return left > days * DAY_MS && new Date(certificate.validFrom) <= now
}

function read(file: string): X509Certificate {
  return new X509Certificate(readFileSync(file))
}
