// The list of operations is closed: adding one is a change of the security design, and this test is where it shows.
import { expect } from 'chai'
import { OPERATIONS } from '../../src/key-holder-protocol/operations.ts'

describe('the operations of the key holder', () => {
  it('are exactly these, on exactly these sockets', () => {
    expect(
      Object.fromEntries(Object.entries(OPERATIONS).map(([name, { sockets }]) => [name, sockets.join(' ')])),
    ).to.deep.equal({
      status: 'service operator trust-server',
      'repository-status': 'service operator',
      'export-public-key': 'service operator',
      'create-delegation-key': 'service operator',
      'initialize-repository': 'service operator',
      'complete-initialization': 'service operator',
      'change-targets': 'service',
      'replace-keys': 'service',
      'renew-roles': 'service',
      'repair-roles': 'service',
      'change-root': 'service',
      'observe-repository': 'service operator',
      'append-record': 'service',
      'prove-inclusion': 'service',
      'pin-repository': 'operator',
      'begin-key-import': 'operator',
      'import-key': 'operator',
      'stage-key': 'operator',
      'retire-key': 'operator',
      'rewrap-keys': 'operator',
      seal: 'operator',
      unseal: 'operator',
      'begin-backup': 'operator',
      'read-backup': 'operator',
      'export-pins': 'operator',
      'export-root-key': 'operator',
      'remove-root-key': 'operator',
      freeze: 'operator',
      unfreeze: 'operator',
      'server-key': 'trust-server',
      'serve-update': 'trust-server',
      'serve-refresh': 'trust-server',
      'serve-state': 'trust-server',
      'serve-delete': 'trust-server',
      'permit-recreation': 'operator',
    })
  })

  it('take no bytes to be signed, and give out no private key but that of root, encrypted, and backups under a passphrase of the configuration, to an operator', () => {
    const members = Object.entries(OPERATIONS).map(([name, { request, response }]) => [
      name,
      Object.keys(request.shape).sort().join(' '),
      Object.keys(response.shape).sort().join(' '),
    ])
    expect(members).to.deep.equal([
      ['status', '', 'limitsDigest log pid repositories sealed startedAt tokens uid version'],
      [
        'repository-status',
        'gun',
        'disowned foreign foreignLeftOut frozenBecause gun keys lifetimeDays pinnedRoot roles rootCustody state',
      ],
      ['export-public-key', 'canonicalKeyId gun role', 'canonicalKeyId key pem tufKeyId'],
      ['create-delegation-key', 'evidence gun keyType role', 'canonicalKeyId key pem tufKeyId'],
      ['initialize-repository', 'evidence gun keyType root signer snapshotKey timestampKey', 'files rootKeyIds state'],
      ['complete-initialization', 'evidence gun signatures', 'files rootKeyIds state'],
      ['change-targets', 'changes files gun publication roles', 'roles'],
      ['replace-keys', 'evidence files gun publication', 'restored roles'],
      ['renew-roles', 'evidence files gun publication roles', 'restored roles'],
      ['repair-roles', 'evidence files gun publication roles', 'restored roles'],
      ['change-root', 'evidence files gun publication', 'roles'],
      ['observe-repository', 'files gun', 'roles'],
      ['append-record', 'facts kind', 'index'],
      ['prove-inclusion', 'gun publication tag', 'checkpoint index leafHash proof publicKey record'],
      ['pin-repository', 'certificateKeyIds evidence files gun keyType signer', 'key pem proof repository'],
      ['begin-key-import', '', 'challenge expiresAt session transportKey'],
      [
        'import-key',
        'canonicalKeyId evidence files gun role sealedKey session severalRoles',
        'canonicalKeyId key keyState proof role state tufKeyId',
      ],
      ['stage-key', 'custody evidence gun keyType reason role', 'canonicalKeyId key pem replaces tufKeyId'],
      [
        'retire-key',
        'canonicalKeyId evidence gun reason',
        'disowned foreign foreignLeftOut frozenBecause gun keys lifetimeDays pinnedRoot roles rootCustody state',
      ],
      ['rewrap-keys', 'evidence reason', 'from keys to'],
      ['seal', 'evidence reason', 'already since'],
      ['unseal', 'evidence files first with', 'already since'],
      [
        'begin-backup',
        'evidence reason',
        'bytes files inTokens keys log madeAt passphraseFile repositories secrets session sha256 version',
      ],
      ['read-backup', 'offset session', 'files isLast'],
      [
        'export-pins',
        'evidence guns lifetimeDays reason',
        'expiresAt files fingerprint madeAt publicKey repositories serial',
      ],
      ['export-root-key', 'evidence gun passphrase reason', 'canonicalKeyId certificatePem files tufKeyId'],
      [
        'remove-root-key',
        'canonicalKeyId evidence gun proof reason',
        'disowned foreign foreignLeftOut frozenBecause gun keys lifetimeDays pinnedRoot roles rootCustody state',
      ],
      [
        'freeze',
        'evidence gun reason',
        'disowned foreign foreignLeftOut frozenBecause gun keys lifetimeDays pinnedRoot roles rootCustody state',
      ],
      [
        'unfreeze',
        'evidence foreign gun reason seen',
        'accepted decidedLeftOut disowned dropped foreign foreignLeftOut frozenBecause gun keys lifetimeDays pinnedRoot roles rootCustody state',
      ],
      ['server-key', 'evidence gun role rotate', 'key keyId listed'],
      ['serve-update', 'evidence files gun', 'repeated snapshot snapshotHeldBy timestamp unverified'],
      ['serve-refresh', 'gun role', 'refreshed snapshot snapshotHeldBy timestamp unverified'],
      ['serve-state', 'gun', 'current roles state update'],
      ['serve-delete', 'evidence gun', 'deleted'],
      ['permit-recreation', 'certificateKeyIds evidence gun reason versions', ''],
    ])
  })
})
