"use strict";

const form = document.querySelector("form"), said = document.querySelector("section");
let socket;

function connect() {
  socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/\/[^/]*$/, "/talk"));
  socket.onmessage = ({data}) => {
    const article = document.createElement("article");
    article.textContent = data;
    said.prepend(article);
  };
  socket.onclose = () => setTimeout(connect, 1000);
}

form.onsubmit = (event) => {
  event.preventDefault();
  socket.send(form.words.value);
  form.reset();
};
connect();
