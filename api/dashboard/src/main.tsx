import { render } from 'preact';
import { App } from './app';
import { arrive } from './state/login';
import './styles/base.css';
import './styles/views.css';

void arrive();
const root = document.getElementById('app');
if (root) render(<App />, root);
