// Puts the services together over one queue, one worker and one stream of events.
import { FileCache } from '@countersign/tuf'
import { GunWorker } from './advance-gun.ts'
import { Audit } from './audit.ts'
import { ContentCache } from './content-cache.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { DriftWatch } from './drift-watch.ts'
import { PublishedWatch } from './foreign-watch.ts'
import { GunQueue } from './gun-queue.ts'
import { Progress } from './progress.ts'
import { UnfinishedWork } from './reconcile.ts'
import { Repositories } from './repositories.ts'
import { Requests } from './requests.ts'
import type { Services } from './services.ts'
import { SignOnPush } from './sign-on-push.ts'
import { SnapshotKeyCheck } from './snapshot-key.ts'
import { TokenExchange } from './token-exchange.ts'
import { Tokens } from './tokens.ts'
import { Verifications } from './verify.ts'

/** Memory for files as they were served, and for the same files parsed, in bytes. */
const CONTENT_CACHE_BYTES = 16 * 1024 * 1024
const FILE_CACHE_BYTES = 64 * 1024 * 1024

export function createServices(given: ServiceDependencies): Services {
  const dependencies = {
    ...given,
    source: new ContentCache(given.source, CONTENT_CACHE_BYTES),
    cache: new FileCache(FILE_CACHE_BYTES),
  }
  const queue = new GunQueue()
  const progress = new Progress(dependencies.observer)
  const snapshotKey = new SnapshotKeyCheck(dependencies)
  const worker = new GunWorker(dependencies, queue, progress, snapshotKey)
  const requests = new Requests(dependencies, progress, worker)
  return {
    requests,
    repositories: new Repositories(dependencies, queue, snapshotKey),
    verifications: new Verifications(dependencies),
    tokens: new Tokens(dependencies),
    exchange: new TokenExchange(dependencies),
    audit: new Audit(dependencies.keyHolder, requests),
    foreignWatch: new PublishedWatch(dependencies, progress, dependencies.seen),
    drift: new DriftWatch(dependencies),
    pushes: new SignOnPush(dependencies, requests),
    reconciler: new UnfinishedWork(dependencies, worker, requests),
  }
}
