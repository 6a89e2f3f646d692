// The services in bad weather: whatever strikes, each request ends published once, or failed and not published.
import { expect } from 'chai'
import { imageOf, isFinal } from '../../src/domain/signing-request.ts'
import { WEATHER_RATE, Weather } from '../support/weather.ts'
import { app, everybody, World } from '../support/fakes/world.ts'

describe('the services in bad weather', () => {
  for (const rate of new Set([WEATHER_RATE, 0.2])) {
    it(`lose nothing and double nothing at ${rate * 100} %`, async () => {
      const world = await World.withRepository({ settings: { attempts: 8 } })
      const weather = new Weather(`services ${rate}`, rate)
      world.faults.weather = weather
      const ids: string[] = []
      for (let count = 0; count < 40; count++) {
        world.registry.push(app, `tag-${count}`, (count % 16).toString(16))
        const images = [`${app}:tag-${count}`]
        const request = await world.services.requests.submit(everybody, { kind: 'sign', images }).then(
          (answer) => answer.request,
          () => undefined,
        )
        if (request !== undefined) ids.push(request.id)
        if (count % 7 === 0) await world.settled()
      }
      world.faults.weather = undefined
      for (let round = 0; round < 3; round++) await world.settled()
      if (rate > 0.1) expect(weather.struck.length).to.be.greaterThan(10)
      for (const id of ids) {
        for (const { record } of world.services.requests.find(everybody, id).images) {
          expect(isFinal(record.status), record.status).to.equal(true)
          const found = await world.found(imageOf(record)!.tag)
          expect(found?.sha256).to.equal(record.status === 'published' ? imageOf(record)?.sha256 : undefined)
        }
      }
      expect(world.observer.troubles).to.deep.equal([])
      world.close()
    })
  }
})
