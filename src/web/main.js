// @ts-check
// Starts the page `/`, or what the link of a guest opens. The pages are classes in page.js and join_page.js: a module that only starts the page lets tests import
// the class without starting the page.

import { JoinPage, linkOf } from "./join_page.js";
import { Page } from "./page.js";

const link = linkOf(location.hash);
const page = link === null ? new Page() : new JoinPage(link);
page.start();
