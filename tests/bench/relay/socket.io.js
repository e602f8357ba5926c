// A relay with socket.io, as its documentation writes one: each person has a room of their name, and a signal is
// acknowledged. It prints its port.
"use strict";
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http);
io.on("connection", (socket) => {
  const { name } = socket.handshake.auth;
  socket.join(name);
  socket.on("signal", ({ to, type, payload }, acknowledge) => {
    io.to(to).emit("signal", { from: name, type, payload });
    acknowledge({ status: "sent" });
  });
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
