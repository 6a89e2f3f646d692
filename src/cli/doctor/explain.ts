// What the errors of stock clients mean where Countersign signs. Pure; the IDs are API. docs/troubleshooting.md has the same rows.

export interface Explanation {
  readonly id: string
  /** What the client says. */
  readonly says: RegExp
  readonly means: string
  readonly next: string
}

/** Texts of docker/cli v28.2.2 cli/trust/trust.go and of notary v0.7.0, the narrower ones first. */
export const EXPLANATIONS: readonly Explanation[] = [
  {
    id: 'no-signing-keys',
    says: /no valid signing keys for delegation roles/,
    means:
      'docker push with DOCKER_CONTENT_TRUST=1 has uploaded the image and then looked for a signing key here; the repository is managed, and nobody but the key holder has one. The image is pushed, and not signed.',
    next: 'Where sign on push is on, it is signed by itself: look with countersign verify IMAGE:TAG. Else sign what was pushed: countersign sign IMAGE:TAG@sha256:DIGEST. From now on push with docker countersign push, or without DOCKER_CONTENT_TRUST.',
  },
  {
    id: 'new-root-key',
    says: /create a new root signing key|passphrase for new (?:root|repository|targets) key/,
    means:
      'docker is about to make signing keys on this machine, since it finds no trust data of the repository: it is not registered, or another trust server was asked.',
    next: 'Press Ctrl-C. Check DOCKER_CONTENT_TRUST_SERVER, have an operator register the repository (countersign repo init), and push with docker countersign push.',
  },
  {
    id: 'unknown-authority',
    says: /certificate signed by unknown authority|x509: /,
    means:
      'The certificate of the trust server or registry is of an authority that docker does not know, or for another name.',
    next: "Put the authority's certificate into ~/.docker/tls/HOST/ca.crt for a trust server, into /etc/docker/certs.d/HOST/ca.crt for a registry.",
  },
  {
    id: 'https-required',
    says: /valid https URL required for trust server/,
    means: 'DOCKER_CONTENT_TRUST_SERVER is no https:// address.',
    next: 'Write it as https://notary.example.com.',
  },
  {
    id: 'not-authorized',
    says: /you are not authorized to perform this operation/,
    means: 'The trust server lets this login not write: signatures are published by the Countersign daemon alone.',
    next: 'Ask for signatures instead: docker countersign push or countersign sign.',
  },
  {
    id: 'root-changed',
    says: /could not rotate trust to a new trusted root|failed to validate data with current trusted certificates/,
    means:
      'The root that the trust server has does not follow the one in the cache of this machine: the repository began again with another root, or somebody else answers.',
    next: 'Ask the operator for the key ID of the root. Only if it is the right one remove ~/.docker/trust/tuf/REPOSITORY, or pull with docker countersign pull --pin KEYID.',
  },
  {
    id: 'not-pinned',
    says: /trust ?pinning|unable to match any certificates to trust_pinning/i,
    means: 'The notary client has pins, and the root that the server has is not among them.',
    next: 'Compare with the operator; after a change of the root key: countersign pin export --format notary.',
  },
  {
    id: 'rolled-back',
    says: /potential malicious behavior - trust data version is lower|is lower than current version/,
    means:
      'The trust server shows an older state than this machine has seen: it was restored from a backup, or somebody keeps the present one back.',
    next: 'Tell the operator. Remove nothing from ~/.docker/trust before it is known why.',
  },
  {
    id: 'insufficient-signatures',
    says: /insufficient signatures/,
    means:
      'The metadata is not signed as the repository demands: somebody changed it, or a key was replaced and a role not signed again.',
    next: 'Tell the operator: countersign repo status names roles that do not verify.',
  },
  {
    id: 'expired',
    says: /out-of-date|trust data .*expired/,
    means: 'Metadata of the repository has expired, or the clock of this machine is wrong.',
    next: 'countersign doctor compares the clock. If it is right, an operator renews what has expired: countersign repo status.',
  },
  {
    id: 'no-trust-data',
    says: /does not have trust data for|no trust data available|remote trust data does not exist/,
    means:
      'The trust server that was asked knows nothing of this repository: nothing was ever signed there, or it is the wrong server.',
    next: 'Check DOCKER_CONTENT_TRUST_SERVER, and whether the repository is managed: countersign repo list.',
  },
  {
    id: 'tag-not-signed',
    says: /No (?:valid )?trust data for|no signatures or cannot access/i,
    means: 'The repository is signed, this tag of it is not; or the repository is not signed at all.',
    next: 'countersign verify IMAGE:TAG says which; countersign sign IMAGE:TAG asks for a signature.',
  },
  {
    id: 'server-unreachable',
    says: /error contacting notary server|unable to reach trust server/,
    means: 'The trust server does not answer.',
    next: 'countersign doctor IMAGE asks it, and says how it fails.',
  },
  {
    id: 'rejected',
    says: /trust server rejected operation/,
    means:
      'The trust server refused an update that docker or notary signed: somebody published meanwhile, or the keys do not fit.',
    next: 'Nothing was published. Where the daemon signs nobody else needs to: countersign sign IMAGE:TAG.',
  },
  {
    id: 'no-docker-trust',
    says: /unknown command: docker trust|'trust' is not a docker command|unknown flag: --disable-content-trust/,
    means: 'Docker from version 29 on has no content trust: it verifies and signs nothing.',
    next: 'docker countersign inspect, verify, pull and push do.',
  },
]

/** The first that fits. */
export function explain(text: string): Explanation | undefined {
  return EXPLANATIONS.find(({ says }) => says.test(text))
}
