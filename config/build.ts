// `npm run build`: dist/ from src/.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { bundle, bundleOneFile } from './bundle.ts'

const top = join(import.meta.dirname, '..')
rmSync(join(top, 'dist'), { recursive: true, force: true })
await bundle(join(top, 'src/main.ts'), join(top, 'dist'))
await bundleOneFile(join(top, 'src/client.ts'), join(top, 'dist/countersign-client.cjs'))
