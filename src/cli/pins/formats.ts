// Pins as other programs read them. Pure.
import { X509Certificate } from 'node:crypto'
import { stringify } from 'yaml'
import type { PinnedRepository } from '../../key-holder/pin-bundle.ts'

/** A signer of a repository whose key is held here. */
export interface SignerKey {
  readonly gun: string
  readonly name: string
  readonly pem: string
}

/**
 * `trust_pinning` of the notary client's configuration (notary v0.7.0 trustpinning/trustpin.go TrustPinConfig): certificates by GUN, and no trust
 * on first use for any other. Docker has no such setting.
 */
export function notaryConfig(repositories: readonly PinnedRepository[]): string {
  const certs = Object.fromEntries(
    repositories.map(({ gun, certificates }) => [gun, certificates.map(({ keyId }) => keyId)]),
  )
  return `${JSON.stringify({ trust_pinning: { disable_tofu: true, certs } }, undefined, 2)}\n`
}

/**
 * Values of Connaisseur's chart, version 3 (charts/connaisseur/values.yaml): one validator of type notaryv1 with a trust root for each
 * certificate, and two rules for each repository: images with a tag, and with a digest alone, which have no colon after the name. It pins bare
 * keys, ECDSA or RSA (internal/validator/notaryv1/notaryv1_validator.go trustRootKeys).
 * @param host of the trust server; without it Connaisseur asks Docker Hub's
 */
export function connaisseurValues(repositories: readonly PinnedRepository[], host: string): string {
  const names = new Names()
  const named = repositories.map(({ gun, certificates }) => ({
    gun,
    roots: certificates.map(({ pem }) => ({ name: names.of(gun), key: publicPem(pem) })),
  }))
  const validator = { name: 'countersign', type: 'notaryv1', host, trustRoots: named.flatMap(({ roots }) => roots) }
  const policy = named.flatMap(({ gun, roots: [root] }) =>
    root === undefined
      ? []
      : [`${gun}:*`, `${gun}@sha256:*`].map((pattern) => ({
          pattern,
          validator: validator.name,
          with: { trustRoot: root.name },
        })),
  )
  return stringify({ application: { validators: [validator], policy } })
}

/**
 * Objects for Portieris (portieris.cloud.ibm.com/v1, pkg/controller/notary/trust.go): a secret for each signer, and a cluster policy that asks
 * for their signatures. It has no form for the pins of a root: it believes the first root that it sees, and then holds signers against these keys.
 */
export function portierisObjects(
  repositories: readonly PinnedRepository[],
  signers: readonly SignerKey[],
  trustServer: string,
): string {
  const names = new Names()
  const secrets = signers.map((signer) => ({ signer, name: names.of(`${signer.gun}-${signer.name}`) }))
  const policy = {
    apiVersion: 'portieris.cloud.ibm.com/v1',
    kind: 'ClusterImagePolicy',
    metadata: { name: 'countersign' },
    spec: {
      repositories: repositories.map(({ gun }) => {
        const signerSecrets = secrets.filter(({ signer }) => signer.gun === gun).map(({ name }) => ({ name }))
        const trust = { enabled: true, trustServer, ...(signerSecrets.length > 0 && { signerSecrets }) }
        return { name: gun, policy: { trust } }
      }),
    },
  }
  const objects = secrets.map(({ signer, name }) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    type: 'Opaque',
    stringData: { name: signer.name, publicKey: signer.pem },
  }))
  return [...objects, policy].map((object) => stringify(object)).join('---\n')
}

/** SubjectPublicKeyInfo of a certificate's key, as PEM. */
export function publicPem(certificatePem: string): string {
  return new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

/** Names for Kubernetes (RFC 1123 labels), each once. */
class Names {
  readonly #taken = new Set<string>()

  of(text: string): string {
    const base =
      text
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, '-')
        .slice(0, 55)
        .replaceAll(/^-+|-+$/g, '') || 'root'
    let name = base
    for (let count = 2; this.#taken.has(name); count++) name = `${base}-${count}`
    this.#taken.add(name)
    return name
  }
}
