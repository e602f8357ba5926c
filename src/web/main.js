// @ts-check
// Starts the page `/`. The page itself is the class in page.js: a module that only starts the page lets tests import
// the class without starting the page.

import { Page } from "./page.js";

const page = new Page();
page.start();
