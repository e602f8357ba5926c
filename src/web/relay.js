// @ts-check
import { RelayPage } from "./relay/page.js";

new RelayPage().start();
