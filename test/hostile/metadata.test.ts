// A trust server that lies, with its own snapshot and timestamp keys and now and then a stolen one of ours. The services, the real
// key holder and the real HTTP clients stand against it. Of each attack: nothing is signed, nothing is uploaded, the code says what
// was seen, and where the truth is served again, work goes on.
import {
  RELEASES,
  ROOT,
  sha256Hex,
  SNAPSHOT,
  TARGETS,
  TIMESTAMP,
  type JsonValue,
  type RoleName,
} from '@countersign/tuf'
import { expect } from 'chai'
import { newSigningKey } from '../support/fakes/signing-key.ts'
import { app, everybody, World } from '../support/fakes/world.ts'
import type { FakeTrustServer, ServerState } from '../support/fakes/trust-server.ts'
import { HostileWorld } from '../support/hostile-world.ts'

const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS
const LAST_VERSION = 2_147_483_647

interface Attack {
  /** The row of the table of attacks. */
  readonly row: string
  readonly name: string
  readonly code: string
  /** What is said of an honest tag meanwhile; `unknown` by default. */
  readonly verdict?: 'signed'
  /** Resolves with the truth that the server hides, where the act itself published something. */
  readonly act: (hostile: HostileWorld, server: FakeTrustServer) => Promise<ServerState> | undefined
}

function current(server: FakeTrustServer, role: RoleName): Uint8Array {
  const bytes = server.currentFile(app, role)
  if (bytes === undefined) throw new Error(`Nothing is published as ${role}.`)
  return bytes
}

function hashed(server: FakeTrustServer, role: RoleName): string {
  return `${role}.${sha256Hex(current(server, role))}.json`
}

/** Replaces text in the finished file; what lists it is made anew. */
function replace(role: RoleName, from: string | RegExp, to: string): Attack['act'] {
  return (_, server) => {
    server.forge(app, role, {
      mangle: (bytes) => {
        const text = Buffer.from(bytes).toString()
        const forged = text.replace(from, to)
        if (forged === text) throw new Error(`Nothing to replace in ${role}.`)
        return Buffer.from(forged)
      },
    })
  }
}

function mangle(role: RoleName, change: (bytes: Uint8Array) => Uint8Array): Attack['act'] {
  return (_, server) => {
    server.forge(app, role, { mangle: change })
  }
}

function listed(role: RoleName, editListed: (meta: Map<string, JsonValue>) => unknown): Attack['act'] {
  return (_, server) => {
    server.forge(app, role, { editListed })
  }
}

function edited(role: RoleName, edit: (signed: Map<string, JsonValue>) => unknown): Attack['act'] {
  return (_, server) => {
    server.forge(app, role, { edit })
  }
}

function setVersion(version: number): (signed: Map<string, JsonValue>) => void {
  return (signed) => {
    signed.set('version', version)
  }
}

function wrongHash(algorithm: string, bytes: number): (meta: Map<string, JsonValue>) => void {
  return (meta) => {
    const hashes = new Map(meta.get('hashes') as ReadonlyMap<string, JsonValue>)
    meta.set('hashes', hashes.set(algorithm, Buffer.alloc(bytes).toString('base64')))
  }
}

const EVIL = `"targets":{"evil":{"hashes":{"sha256":"${Buffer.alloc(32).toString('base64')}"},"length":1}`

/** Only what needs no key but the server's own. The repository is as before when the server tells the truth again. */
const ATTACKS: readonly Attack[] = [
  // Rollback
  {
    row: 'Rollback',
    name: 'the server of before the last publication',
    code: 'VERSION_ROLLED_BACK',
    act: async (hostile, server) => {
      const before = server.state()
      await hostile.sign('rollback')
      const truth = server.state()
      server.restore(before)
      return truth
    },
  },
  {
    row: 'Rollback',
    name: 'one delegation of before, under a new snapshot',
    code: 'VERSION_ROLLED_BACK',
    act: async (hostile, server) => {
      const before = current(server, RELEASES)
      await hostile.sign('rollback-one')
      const truth = server.state()
      server.forge(app, RELEASES, { mangle: () => before })
      return truth
    },
  },
  {
    row: 'Rollback',
    name: 'a repository that was deleted and made again',
    code: 'FILE_MISSING',
    act: (_, server) => {
      server.delete(app)
    },
  },
  // Fast-forward
  ...[SNAPSHOT, TIMESTAMP].map((role): Attack => ({
    row: 'Fast-forward / version ceiling',
    name: `the last version there can be of ${role}`,
    code: 'VERSION_IMPLAUSIBLE',
    act: edited(role, setVersion(LAST_VERSION)),
  })),
  {
    row: 'Fast-forward / version ceiling',
    name: 'a version beyond 31 bits',
    code: 'METADATA_VERSION',
    act: edited(TIMESTAMP, setVersion(LAST_VERSION + 1)),
  },
  {
    row: 'Fast-forward / version ceiling',
    name: 'a jump of versions that the key holder alone finds too large',
    code: 'BASE_VERSION_IMPLAUSIBLE',
    // A stock client follows it.
    verdict: 'signed',
    act: edited(TIMESTAMP, setVersion(1_500_000)),
  },
  // Freeze
  {
    row: 'Freeze',
    name: 'a constant timestamp for 15 days',
    code: 'ROLE_EXPIRED',
    act: ({ world }, server) => {
      server.freeze()
      world.time.advance(15 * DAY_MS)
    },
  },
  // Mix-and-match
  {
    row: 'Mix-and-match',
    name: 'the targets of before under the name of the new ones',
    code: 'FILE_HASH_MISMATCH',
    act: async (hostile, server) => {
      const before = current(server, RELEASES)
      await hostile.sign('mix-targets')
      await hostile.forgetFiles()
      server.serve(app, hashed(server, RELEASES), before)
      return server.state()
    },
  },
  {
    row: 'Mix-and-match',
    name: 'the snapshot of before under the name of the new one',
    code: 'FILE_HASH_MISMATCH',
    act: async (hostile, server) => {
      const before = current(server, SNAPSHOT)
      await hostile.sign('mix-snapshot')
      await hostile.forgetFiles()
      server.serve(app, hashed(server, SNAPSHOT), before)
      return server.state()
    },
  },
  {
    row: 'Mix-and-match',
    name: 'the timestamp of before with everything else new',
    code: 'VERSION_ROLLED_BACK',
    act: async (hostile, server) => {
      const before = current(server, TIMESTAMP)
      await hostile.sign('mix-timestamp')
      server.serve(app, 'timestamp.json', before)
      return server.state()
    },
  },
  {
    row: 'Mix-and-match',
    name: 'one known version with another content',
    code: 'VERSION_FORKED',
    act: edited(TIMESTAMP, (signed) => {
      signed.set('expires', '2026-05-09T00:00:00Z')
    }),
  },
  {
    row: 'Mix-and-match',
    name: 'a file that the snapshot names and nobody has',
    code: 'FILE_MISSING',
    act: async (hostile, server) => {
      await hostile.forgetFiles()
      server.serve(app, hashed(server, TARGETS), undefined)
      return server.state()
    },
  },
  // Wrong lengths and hashes
  ...(
    [
      ['a shorter length of targets', 'NOTARY_RESPONSE_TOO_LARGE', listed(TARGETS, (m) => m.set('length', 10))],
      ['a length of nothing', 'NOTARY_RESPONSE_TOO_LARGE', listed(TARGETS, (m) => m.set('length', 0))],
      ['a length below nothing', 'METADATA_FILE_META', listed(SNAPSHOT, (m) => m.set('length', -1))],
      ['a length that is no number', 'METADATA_MALFORMED', listed(SNAPSHOT, (m) => m.set('length', '12'))],
      ['no hash', 'METADATA_FILE_META', listed(TARGETS, (m) => m.set('hashes', new Map()))],
      ['a hash of another file', 'FILE_MISSING', listed(TARGETS, wrongHash('sha256', 32))],
      ['a hash of another length', 'METADATA_FILE_META', listed(TARGETS, wrongHash('sha256', 31))],
      ['a second hash of another file', 'FILE_HASH_MISMATCH', listed(TARGETS, wrongHash('sha512', 64))],
      ['a second hash of a delegation', 'FILE_HASH_MISMATCH', listed(RELEASES, wrongHash('sha512', 64))],
    ] as const
  ).map(([name, code, act]): Attack => ({ row: 'Wrong lengths and hashes', name, code, act })),
  // A server without our keys
  ...(
    [
      ['a target smuggled into the signed targets', 'SIGNATURE_BELOW_THRESHOLD', replace(TARGETS, '"targets":{', EVIL)],
      [
        'a delegation renamed',
        'SIGNATURE_BELOW_THRESHOLD',
        replace(TARGETS, '"targets/countersign"', '"targets/mallory"'),
      ],
      ['a threshold of nothing', 'METADATA_THRESHOLD', replace(TARGETS, '"threshold":1', '"threshold":0')],
      ['a signature of nobody', 'SIGNATURE_NONE', replace(TARGETS, /"signatures":\[.*\]/, '"signatures":[]')],
      [
        'a root that the last root did not sign',
        'SIGNATURE_BELOW_THRESHOLD',
        replace(ROOT, '"version":1', '"version":2'),
      ],
    ] as const
  ).map(([name, code, act]): Attack => ({ row: 'Malicious mirror / Notary compromise', name, code, act })),
  {
    row: 'Malicious mirror / Notary compromise',
    name: 'a target smuggled into a delegation',
    code: 'VERSION_FORKED',
    act: replace(RELEASES, '"targets":{', `${EVIL},`),
  },
  {
    row: 'Malicious mirror / Notary compromise',
    name: 'a repository of its own under our name',
    code: 'VERSION_FORKED',
    act: async (_, server) => {
      const truth = server.state()
      const theirs = await World.withRepository({ gun: app })
      server.restore(theirs.server.state())
      theirs.close()
      return truth
    },
  },
  {
    row: 'Malicious mirror / Notary compromise',
    name: 'targets signed by a key of its own',
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: (_, server) => {
      server.forge(app, TARGETS, { edit: setVersion(9), signers: [newSigningKey()] })
    },
  },
  // Unsigned junk
  ...[ROOT, TARGETS, SNAPSHOT, TIMESTAMP].map((role): Attack => ({
    row: 'Unsigned junk in metadata breaks the collection',
    name: `an extra field beside the signatures of ${role}`,
    code: 'VERSION_FORKED',
    act: replace(role, ',"signatures":', ',"abc":"xyz","signatures":'),
  })),
  {
    row: 'Unsigned junk in metadata breaks the collection',
    name: 'an extra field beside the signatures of a delegation',
    code: 'VERSION_FORKED',
    act: replace(RELEASES, ',"signatures":', ',"abc":"xyz","signatures":'),
  },
  {
    row: 'Unsigned junk in metadata breaks the collection',
    name: 'white space behind the file',
    code: 'VERSION_FORKED',
    act: mangle(SNAPSHOT, (bytes) => Buffer.concat([bytes, Buffer.from('\n')])),
  },
  // Algorithm confusion
  ...['eddsa', 'rsapss', 'rsapkcs1v15', 'hmac', ''].map((method): Attack => ({
    row: 'Algorithm confusion',
    name: `an ECDSA signature called ${method === '' ? 'nothing' : method}`,
    code: 'SIGNATURE_BELOW_THRESHOLD',
    act: replace(TIMESTAMP, '"method":"ecdsa"', `"method":"${method}"`),
  })),
  // Expired
  {
    row: 'Expired keys still accepted',
    name: 'a clock five years on',
    code: 'ROLE_EXPIRED',
    act: ({ world }) => {
      world.time.advance(5 * YEAR_MS)
    },
  },
  {
    row: 'Expired keys still accepted',
    name: 'a clock five years back',
    code: 'CERTIFICATE_NOT_YET_VALID',
    act: ({ world }) => {
      world.time.advance(-5 * YEAR_MS)
    },
  },
  // Clock
  {
    row: 'Clock wrong',
    name: 'three weeks ahead of the trust server',
    code: 'ROLE_EXPIRED',
    act: ({ world }, server) => {
      server.freeze()
      world.time.advance(21 * DAY_MS)
    },
  },
  {
    row: 'Clock wrong',
    name: 'before the root was made',
    code: 'CERTIFICATE_NOT_YET_VALID',
    act: ({ world }) => {
      world.time.advance(-30 * DAY_MS)
    },
  },
  // Malformed
  ...(
    [
      ['deep JSON', 'JSON_TOO_DEEP', mangle(TIMESTAMP, () => Buffer.from('['.repeat(500_000)))],
      ['deep JSON in the snapshot', 'JSON_TOO_DEEP', mangle(SNAPSHOT, () => Buffer.from('{"a":'.repeat(200_000)))],
      ['a member twice', 'JSON_DUPLICATE_NAME', replace(TIMESTAMP, '"version":', '"version":1,"version":')],
      ['a member twice in targets', 'JSON_DUPLICATE_NAME', replace(TARGETS, '"targets":{', '"targets":{},"targets":{')],
      ['a member in two cases', 'METADATA_NAME_CASE', replace(TIMESTAMP, '"version":', '"Version":1,"version":')],
      ['no bytes', 'JSON_SYNTAX', mangle(TIMESTAMP, () => Buffer.alloc(0))],
      ['half a file', 'JSON_SYNTAX', mangle(SNAPSHOT, (bytes) => bytes.subarray(0, bytes.byteLength >> 1))],
      ['bytes that are no text', 'JSON_UTF8', mangle(SNAPSHOT, (bytes) => Buffer.concat([bytes, Buffer.from([0xff])]))],
      [
        'another type of file',
        'METADATA_TYPE',
        mangle(TIMESTAMP, () => Buffer.from('{"signed":{"_type":"Root"},"signatures":[]}')),
      ],
    ] as const
  ).map(([name, code, act]): Attack => ({ row: 'Malformed metadata', name, code, act })),
]

describe('a trust server that lies', () => {
  let hostile: HostileWorld
  let count = 0
  before(async () => {
    hostile = await HostileWorld.start()
  })
  after(() => hostile.close())

  for (const { row, name, code, act, verdict = 'unknown' } of ATTACKS) {
    it(`attack: ${row}: ${name}`, async () => {
      const { server, time } = hostile.world
      const [before, moment] = [server.state(), time.now().getTime()]
      let truth = before
      try {
        truth = (await act(hostile, server)) ?? before
        const seen = [hostile.uploads(), hostile.signatures()]
        expect(await hostile.sign(`tag-${++count}`)).to.equal(`failed ${code}`)
        expect([hostile.uploads(), hostile.signatures()], 'uploads and signatures').to.deep.equal(seen)
        const [verification] = await hostile.world.services.verifications.verify(everybody, [`${app}:1.0`])
        expect(verification?.verdict, 'verdict').to.equal(verdict)
      } finally {
        server.serveTruth()
        server.restore(truth)
        time.advance(moment - time.now().getTime())
      }
      expect(await hostile.sign(`tag-${count}`), 'afterwards').to.equal('published')
    })
  }
})
