// One script and one style sheet with fixed names: the page adds a hash of the content to their addresses.
import { defineConfig } from "vite";

export default defineConfig({
  build: {
    outDir: "../../crm/web/static/designer",
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "licences.md" },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      input: "src/main.tsx",
      output: { entryFileNames: "designer.js", assetFileNames: "designer[extname]" },
    },
  },
});
