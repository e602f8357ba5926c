// PeerServer, as its documentation starts it, on a free port that it prints.
"use strict";
const { PeerServer } = require("peer");

PeerServer({ host: "127.0.0.1", port: 0, path: "/" }, (server) => console.log(server.address().port));
