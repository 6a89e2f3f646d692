// A key holder that kills itself at the n-th passing of one step, as power loss would: SIGKILL, nothing flushed by us.
// Arguments: configuration file, step, count. Run by crash.test.ts as a process of its own.
import { readFileSync } from 'node:fs'
import { silentLog } from '../../src/key-holder/holder-log.ts'
import { parseKeyHolderConfig, startKeyHolder } from '../../src/key-holder/main.ts'
import { NOW } from './repository-builder.ts'

const [configFile = '', step = '', countText = '1'] = process.argv.slice(2)
let left = Number(countText)
let isUp = false

await startKeyHolder(parseKeyHolderConfig(readFileSync(configFile, 'utf8')), {
  now: () => NOW,
  log: silentLog,
  onStep: (passed) => {
    if (isUp && passed === step && --left === 0) process.kill(process.pid, 'SIGKILL')
  },
})
isUp = true
process.stdout.write('up\n')
