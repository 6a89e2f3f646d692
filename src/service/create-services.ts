// Puts the services together over one queue, one worker and one stream of events.
import { GunWorker } from './advance-gun.ts'
import type { ServiceDependencies } from './dependencies.ts'
import { GunQueue } from './gun-queue.ts'
import { Progress } from './progress.ts'
import { UnfinishedWork } from './reconcile.ts'
import { Repositories } from './repositories.ts'
import { Requests } from './requests.ts'
import type { Services } from './services.ts'
import { SnapshotKeyCheck } from './snapshot-key.ts'
import { Tokens } from './tokens.ts'
import { Verifications } from './verify.ts'

export function createServices(dependencies: ServiceDependencies): Services {
  const queue = new GunQueue()
  const progress = new Progress(dependencies.observer)
  const snapshotKey = new SnapshotKeyCheck(dependencies)
  const worker = new GunWorker(dependencies, queue, progress, snapshotKey)
  return {
    requests: new Requests(dependencies, progress, worker),
    repositories: new Repositories(dependencies, queue, snapshotKey),
    verifications: new Verifications(dependencies),
    tokens: new Tokens(dependencies),
    reconciler: new UnfinishedWork(dependencies, worker),
  }
}
