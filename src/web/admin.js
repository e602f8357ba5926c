// @ts-check
// Starts the page `/admin`. The page itself is the class in admin/page.js, with its sections in that folder.

import { AdminPage } from "./admin/page.js";

const page = new AdminPage();
page.start();
