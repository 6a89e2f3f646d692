// Machines that prove themselves by a client certificate: from the certificate of a connection to a Principal. What was not verified, or is
// not valid any more, counts as no certificate; a subject's common name counts for nothing.
import type { Principal } from '../domain/principal.ts'
import { hasValidCertificate } from '../http-listener.ts'

export interface CertificateRule extends Pick<Principal, 'grants' | 'groups'> {
  /** One subject alternative name, exactly: `dns:builder.example.com`, `uri:spiffe://example.com/builder`. */
  readonly san: string
}

/** The identity of a connection by the first rule that names one of its names; undefined where there is none. */
export function certificatePrincipal(
  socket: unknown,
  rules: readonly CertificateRule[],
  now: Date,
): Principal | undefined {
  if (rules.length === 0 || !hasValidCertificate(socket, now)) return undefined
  const names = namesOf(socket.getPeerX509Certificate()?.subjectAltName)
  const rule = rules.find(({ san }) => names.has(san))
  if (rule === undefined) return undefined
  const { san, grants, groups } = rule
  return { id: `certificate:${san}`, name: san, grants, ...(groups !== undefined && groups.length > 0 && { groups }) }
}

/**
 * `dns:...` and `uri:...` of the text that Node makes of the extension. A name with a comma or a quotation mark comes in quotes there
 * (CVE-2021-44532): such a text is read as no name at all.
 */
function namesOf(text: string | undefined): ReadonlySet<string> {
  if (text === undefined || text.includes('"')) return new Set()
  const names = text.split(', ').flatMap((entry) => {
    const match = /^(DNS|URI):([\x21-\x7e]{1,240})$/.exec(entry)
    return match?.[1] === undefined || match[2] === undefined ? [] : [`${match[1].toLowerCase()}:${match[2]}`]
  })
  return new Set(names)
}
