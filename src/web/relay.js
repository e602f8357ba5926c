// @ts-check
// Starts the page `/relay`. The page itself is the class in relay/page.js: the relay's modules are in that folder, and
// the modules of the folder above are the ones that both pages use.

import { RelayPage } from "./relay/page.js";

const page = new RelayPage();
page.start();
