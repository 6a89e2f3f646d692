// What is told of the audit log: its public key, and receipts.
import { DomainError } from '../domain/errors.ts'
import type { KeyHolder } from '../domain/ports.ts'
import type { Principal } from '../domain/principal.ts'
import { makeReceipt, receiptSource, type Receipt } from '../domain/receipt.ts'
import type { AuditLogKey, AuditService, RequestService } from './services.ts'

export class Audit implements AuditService {
  readonly #keyHolder: Pick<KeyHolder, 'status' | 'proveInclusion'>
  readonly #requests: Pick<RequestService, 'find'>

  constructor(keyHolder: Pick<KeyHolder, 'status' | 'proveInclusion'>, requests: Pick<RequestService, 'find'>) {
    this.#keyHolder = keyHolder
    this.#requests = requests
  }

  async receipt(principal: Principal, id: string, position: number): Promise<Receipt> {
    const { kind, images } = this.#requests.find(principal, id)
    const image = images[position]
    if (image === undefined) {
      throw new DomainError('REQUEST_NOT_FOUND', 'The request has no image at this position.', {
        request: id,
        images: images.length,
      })
    }
    const { subject, publication } = receiptSource(image.record)
    const { gun, tag } = subject
    const proven = await this.#keyHolder.proveInclusion({ gun, publication, tag })
    return makeReceipt(kind, subject, proven)
  }

  async publicKey(): Promise<AuditLogKey> {
    const { origin, publicKey } = (await this.#keyHolder.status()).log
    return { origin, publicKey }
  }
}
