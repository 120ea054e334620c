// One webtorrent client with one torrent, for the interop tests.
//
// Prints `listening` when it accepts peers and `complete` when all data is checked and written, and
// runs until it is stopped.
'use strict'

const path = require('node:path')

const [modules, source, dir, port, uploadLimit, ...peers] = process.argv.slice(2)
const WebTorrent = require(path.join(modules, 'webtorrent'))

const fail = (error) => {
  console.error(error)
  process.exit(1)
}

const client = new WebTorrent({
  dht: false,
  lsd: false,
  utPex: false,
  utp: false,
  webSeeds: false,
  torrentPort: Number(port),
  uploadLimit: Number(uploadLimit),
  tracker: { wrtc: false }
})
client.on('error', fail)

// Data that is already below `dir` is checked and kept.
const torrent = client.add(source, { path: dir, announce: [] })
torrent.on('error', fail)
torrent.on('warning', (warning) => console.error('warning:', warning))
torrent.on('wire', (wire, address) => console.error('peer:', address))
torrent.on('infoHash', () => {
  console.log('listening')
  peers.forEach((peer) => torrent.addPeer(peer))
})
torrent.on('done', () => console.log('complete'))
