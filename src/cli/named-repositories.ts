// Commands about one repository, or about all that the token may see.
import { repositoryArgument } from './image-list/list.ts'
import { repositoryListSchema } from './resources.ts'
import type { Session } from './session.ts'

/** The one that was named; else all of them. */
export async function namedRepositories(session: Session, text: string | undefined): Promise<readonly string[]> {
  if (text !== undefined) return [repositoryArgument(text)]
  const api = await session.api()
  const { repositories } = await api.call({ method: 'GET', path: 'v1/repositories', answer: repositoryListSchema })
  return repositories.map(({ gun }) => gun)
}
