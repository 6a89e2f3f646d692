import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { ExpiryWatch } from '../../src/app/expiry-watch.ts'
import { observe, queueSources } from '../../src/app/observation.ts'
import { DomainError } from '../../src/domain/errors.ts'
import type { ExpiryMemory, PendingImage } from '../../src/domain/ports.ts'
import type { Repository } from '../../src/domain/repository.ts'
import { isGranted, type Principal } from '../../src/domain/principal.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { createLog, silentLog, type Log } from '../../src/log.ts'
import type { RepositoryReport, RepositoryService, RequestService } from '../../src/service/services.ts'

const gun = parseGun('registry.example.com/team/app')
const clock = { now: () => new Date('2026-01-11T00:00:00Z') }
const sources = {
  unfinishedImages: () => new Map<string, number>(),
  oldestUnfinishedSeconds: () => 0,
  isKeyHolderUp: () => Promise.resolve(true),
  daysToNextExpiry: () => undefined,
}

describe('observation', () => {
  it('counts images at their end only, publications and conflicts', async () => {
    const metrics = new Metrics('1', sources)
    const lines: string[] = []
    const observer = observe(createLog('info', { write: (line) => lines.push(line) }), metrics)
    const moved = { request: 'req-1', position: 0, kind: 'sign', gun } as const
    observer.requestChanged({ ...moved, from: undefined, to: 'submitted' })
    observer.requestChanged({ ...moved, from: 'publishing', to: 'published' })
    observer.requestChanged({ ...moved, from: 'submitted', to: 'failed', code: 'DIGEST_MISMATCH' })
    const ended = { publication: 'pub-1', gun, kind: 'sign', changes: 2 } as const
    observer.publicationFinished({ ...ended, outcome: 'published', durationMs: 1_500 })
    observer.publicationFinished({ ...ended, outcome: 'failed', durationMs: 10, code: 'NOTARY_UPDATE_INVALID' })
    observer.publicationConflict({ gun, attempt: 1, code: 'NOTARY_CONFLICT' })
    observer.repositoryTroubled({ gun, error: new Error('broken') })
    metrics.keyHolderFailed('BASE_VERSION_NOT_OURS')
    const text = await metrics.print()
    expect(text).to.include('countersign_signing_request_images_total{kind="sign",result="published"} 1')
    expect(text).to.include('countersign_signing_request_images_total{kind="sign",result="failed"} 1')
    expect(text).not.to.include('result="submitted"')
    expect(text).to.include('countersign_publication_duration_seconds_sum{result="published"} 1.5')
    expect(text).to.include('countersign_publication_conflicts_total 1')
    expect(text).to.include('countersign_key_holder_failures_total{code="BASE_VERSION_NOT_OURS"} 1')
    expect(text, 'no expiry was seen').not.to.match(/^countersign_next_expiry_days /m)
    const levels = lines.map((line) => (JSON.parse(line) as { level: string }).level)
    expect(levels).to.deep.equal(['info', 'info', 'info', 'info', 'error', 'warn', 'error'])
    expect(lines.at(-1)).to.include('broken')
  })

  it('reads the queue: counts by status, and the age of what waits longest', () => {
    const image = (status: string, at: string) =>
      ({ record: { status, at: new Date(at), subject: { gun, tag: parseTag('1') } } }) as unknown as PendingImage
    const unfinished = [
      image('approved', '2026-01-10T23:59:00Z'),
      image('approved', '2026-01-10T23:59:30Z'),
      image('publishing', '2026-01-10T23:59:50Z'),
    ]
    const queue = queueSources({ unfinished: () => unfinished }, clock)
    expect([...queue.unfinishedImages()]).to.deep.equal([
      ['approved', 2],
      ['publishing', 1],
    ])
    expect(queue.oldestUnfinishedSeconds()).to.equal(60)
    expect(queueSources({ unfinished: () => [] }, clock).oldestUnfinishedSeconds()).to.equal(0)
  })
})

describe('the watch over expiry dates', () => {
  const repositories = [
    { gun, state: 'ready' },
    { gun: parseGun('registry.example.com/team/b'), state: 'ready' },
    { gun: parseGun('registry.example.com/team/new'), state: 'initializing' },
  ] as unknown as Repository[]
  const outlook = (...dates: string[]) =>
    dates.map((date) => ({ role: 'root', roleClass: 'root', by: 'ceremony', keyIds: [], expiresAt: new Date(date) }))
  const nothingDue = (): Promise<never> => Promise.reject(new DomainError('RENEWAL_NOT_DUE', 'not due'))
  const watching = (
    list: ReturnType<RepositoryService['list']>,
    show: RepositoryService['report'],
    o: { log?: Log; renew?: RequestService['renew']; renewBeforeMs?: number; notices?: ExpiryMemory } = {},
  ): ExpiryWatch =>
    new ExpiryWatch({
      services: {
        repositories: { list: () => list, report: show },
        requests: { renew: o.renew ?? nothingDue },
      },
      clock,
      log: o.log ?? silentLog,
      renewal: {
        targetsMs: o.renewBeforeMs ?? 270 * 86_400_000,
        delegationsMs: o.renewBeforeMs ?? 270 * 86_400_000,
        spreadMs: 0,
      },
      notices: o.notices ?? { noteExpiry: () => undefined },
    })
  const report = (o: object) =>
    ({ custody: { state: 'ready' }, outlook: [], warnings: [], ...o }) as unknown as RepositoryReport

  it('finds the first date of all repositories, and warns', async () => {
    const lines: string[] = []
    const seen: Principal[] = []
    const watch = watching(
      repositories,
      (principal, asked) => {
        seen.push(principal)
        return Promise.resolve(
          asked === gun
            ? report({
                outlook: outlook('2026-03-01', '2026-01-21'),
                warnings: [{ code: 'ROLE_EXPIRES_SOON', detail: 'soon' }],
              })
            : report({ outlook: outlook('2026-02-01') }),
        )
      },
      { log: createLog('warn', { write: (line) => lines.push(line) }) },
    )
    expect(watch.daysToNextExpiry()).to.equal(undefined)
    await watch.look(new AbortController().signal)
    expect(watch.daysToNextExpiry()).to.equal(10)
    expect(seen).to.have.length(2)
    expect(isGranted(seen[0]!, 'read', gun)).to.equal(true)
    for (const grant of ['submit', 'operator', 'admin'] as const)
      expect(isGranted(seen[0]!, grant, gun)).to.equal(false)
    expect(lines.join('')).to.include('ROLE_EXPIRES_SOON')
  })

  it('keeps what was seen last where a repository cannot be loaded', async () => {
    let isBroken = false
    const watch = watching(repositories.slice(0, 2), (_principal, asked) => {
      if (!isBroken) return Promise.resolve(report({ outlook: outlook(asked === gun ? '2026-01-21' : '2026-02-01') }))
      if (asked === gun) return Promise.resolve(report({ trouble: { code: 'NOTARY_UNAVAILABLE', detail: '' } }))
      return Promise.reject(new Error('broken'))
    })
    await watch.look(new AbortController().signal)
    isBroken = true
    await watch.look(new AbortController().signal)
    expect(watch.daysToNextExpiry()).to.equal(10)
  })

  it('stops between two repositories', async () => {
    const stopping = new AbortController()
    let asked = 0
    const watch = watching(repositories, () => {
      asked += 1
      stopping.abort()
      return Promise.resolve(report({}))
    })
    await watch.look(stopping.signal)
    expect(asked).to.equal(1)
  })

  it('has renewed what expires soon, but neither snapshot and timestamp, which are the server’s, nor root', async () => {
    const renewed: string[] = []
    const due = { role: 'targets', roleClass: 'targets', by: 'countersign', expiresAt: new Date('2026-09-01') }
    const late = { ...due, role: 'targets/releases', roleClass: 'delegation', expiresAt: new Date('2028-01-01') }
    const foreign = { ...due, by: 'elsewhere', keyIds: [] }
    const timestamp = {
      role: 'timestamp',
      roleClass: 'timestamp',
      by: 'trust-server',
      expiresAt: new Date('2026-01-21'),
    }
    const watch = watching(
      repositories,
      (_principal, asked) =>
        Promise.resolve(report({ outlook: asked === gun ? [due, late] : [late, timestamp, foreign] })),
      {
        renew: (principal, asked) => {
          expect(isGranted(principal, 'operator', asked)).to.equal(true)
          renewed.push(asked)
          return nothingDue()
        },
      },
    )
    await watch.look(new AbortController().signal)
    expect(renewed).to.deep.equal([gun])
    expect([...watch.daysToNextExpiryByClass().keys()]).to.deep.equal(['targets', 'delegation', 'timestamp'])
    expect(watch.daysToNextExpiryByClass().get('timestamp')).to.equal(10)
    expect(watch.daysToNextExpiry(), 'timestamps aside').to.equal(233)
  })

  it('asks for no renewal of a frozen repository, which could only be refused', async () => {
    const due = { role: 'targets', roleClass: 'targets', by: 'countersign', expiresAt: new Date('2026-09-01') }
    let isAsked = false
    const frozen = report({ custody: { state: 'frozen' }, outlook: [due] })
    const watch = watching(repositories, () => Promise.resolve(frozen), {
      renew: () => {
        isAsked = true
        return nothingDue()
      },
    })
    await watch.look(new AbortController().signal)
    expect(isAsked).to.equal(false)
  })

  it('notes each expiry that is left to people', async () => {
    const noted: unknown[] = []
    const watch = watching(
      repositories.slice(0, 1),
      () => Promise.resolve(report({ outlook: outlook('2026-03-01', '2027-01-21') })),
      {
        notices: {
          noteExpiry: (expiry, news) => noted.push([expiry.role, expiry.days, news().type]),
        },
      },
    )
    await watch.look(new AbortController().signal)
    expect(noted).to.deep.equal([['root', 90, 'repository.expiring']])
  })

  it('forgets a repository that is not registered any more', async () => {
    let list = repositories.slice(0, 1)
    const watch = new ExpiryWatch({
      services: {
        repositories: { list: () => list, report: () => Promise.resolve(report({ outlook: outlook('2026-03-01') })) },
        requests: { renew: nothingDue },
      },
      clock,
      log: silentLog,
      renewal: { targetsMs: 0, delegationsMs: 0, spreadMs: 0 },
      notices: { noteExpiry: () => undefined },
    })
    await watch.look(new AbortController().signal)
    list = []
    await watch.look(new AbortController().signal)
    expect(watch.daysToNextExpiry()).to.equal(undefined)
  })

  it('asks for no renewal where the window is closed', async () => {
    const expired = { role: 'targets', roleClass: 'targets', by: 'countersign', expiresAt: new Date('2026-01-01') }
    let isAsked = false
    const watch = watching(repositories, () => Promise.resolve(report({ outlook: [expired] })), {
      renewBeforeMs: 0,
      renew: () => {
        isAsked = true
        return nothingDue()
      },
    })
    await watch.look(new AbortController().signal)
    expect(isAsked).to.equal(false)
  })
})
