import { createDatabase, type StoreDatabase } from '../../src/store/database.ts'
import { SqliteRepositoryStore } from '../../src/store/repositories.ts'
import { SqliteRequestStore } from '../../src/store/requests.ts'
import { SqliteTokenStore } from '../../src/store/tokens.ts'
import { repositoryStoreContract } from './repository-store.contract.ts'
import { requestStoreContract } from './request-store.contract.ts'
import { tokenStoreContract } from './token-store.contract.ts'

describe('stores on SQLite', () => {
  let database: StoreDatabase | undefined
  const open = (): StoreDatabase => (database = createDatabase(':memory:'))
  afterEach(() => {
    database?.close()
    database = undefined
  })

  describe('RequestStore', () => {
    requestStoreContract(() => new SqliteRequestStore(open()))
  })
  describe('RepositoryStore', () => {
    repositoryStoreContract(() => new SqliteRepositoryStore(open()))
  })
  describe('TokenStore', () => {
    tokenStoreContract(() => new SqliteTokenStore(open()))
  })
})
